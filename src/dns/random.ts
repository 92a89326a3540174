/** Random numbers that nobody can guess from those that were seen before: ids of queries are made of them. */
import { randomFillSync } from "node:crypto";

const pool = new Uint32Array(1024);
let left = 0;

/** A number from 0 to 1, 1 excluded, of 32 random bits. */
export function secureRandom(): number {
  if (left === 0) {
    randomFillSync(pool);
    left = pool.length;
  }
  return (pool[--left] ?? 0) / 2 ** 32;
}
