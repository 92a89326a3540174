/** Words for a shell. */

/** The arguments as words of a shell command: each in single quotes, so that none means anything but itself. */
export function quoteArguments(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}
