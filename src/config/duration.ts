/** Durations as Go programs write them in flags and files: `1h30m`, `1.5s`, `250ms`. Here they are milliseconds. */

const unitMilliseconds: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** The longest duration that Go can hold: 2^63 - 1 nanoseconds, about 292 years. */
const longest = 2 ** 63 / 1e6;

/**
 * Parses a duration as Go's `time.ParseDuration` does: numbers with units, optionally signed, or a bare `0`.
 *
 * @returns milliseconds, with fractions for smaller units; undefined if `text` is not a duration.
 */
export function tryParseDuration(text: string): number | undefined {
  const match = /^([-+]?)(0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.exec(text);
  if (match?.[2] === undefined) return undefined;
  let sum = 0;
  for (const [, number, unit = ""] of match[2].matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    sum += Number(number) * (unitMilliseconds[unit] ?? 0);
  }
  if (sum >= longest) return undefined;
  // Decimal fractions are not exact in binary: 47.547 s is to be 47547 ms.
  sum = Number(sum.toPrecision(15));
  return match[1] === "-" && sum > 0 ? -sum : sum;
}

/** A duration as Go's `Duration.String` writes it: `24h0m0s`, `1.5s`, `250ms`, `0s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return "0s";
  const sign = milliseconds < 0 ? "-" : "";
  const length = Math.abs(milliseconds);
  const nanoseconds = Math.round(length * 1e6);
  if (nanoseconds < 1e3) return `${sign}${nanoseconds}ns`;
  if (nanoseconds < 1e6) return `${sign}${nanoseconds / 1e3}µs`;
  if (nanoseconds < 1e9) return `${sign}${nanoseconds / 1e6}ms`;
  const minutes = Math.floor(length / 60_000);
  const seconds = `${Number(((length - minutes * 60_000) / 1000).toFixed(9))}s`;
  if (minutes === 0) return sign + seconds;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${sign}${minutes}m${seconds}` : `${sign}${hours}h${minutes % 60}m${seconds}`;
}
