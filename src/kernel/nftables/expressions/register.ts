/** The registers of nf_tables: 64 bytes, addressed in words of four. */

/**
 * A register: 8 (`NFT_REG32_00`) to 23 (`NFT_REG32_15`), words of four bytes. A longer value takes the words that
 * follow. Values shorter than four bytes take the first bytes of their word, the rest is zero.
 *
 * The kernel also knows four registers of 16 bytes, 1 to 4: they are the same memory as 8, 12, 16 and 20, and are
 * read as these.
 */
export type Register = number;

/** The first register: the usual place for a value. Concatenations take this and the following. */
export const firstRegister: Register = 8;

/** The register that is `words` words of four bytes after the first: 0 to 15. */
export function register(words: number): Register {
  if (!Number.isInteger(words) || words < 0 || words > 15) throw new RangeError(`there is no register word ${words}`);
  return firstRegister + words;
}

/** A register's number as the kernel writes it, in terms of words: 1 to 4 become 8, 12, 16, 20. */
export function canonicalRegister(number: number): Register {
  return number >= 1 && number <= 4 ? firstRegister + 4 * (number - 1) : number;
}
