/** A reporter of node:test: one line of JSON for each test, for another process to read (see `suite.ts`). */
import type { TestEvent } from "node:test/reporters";

/** How a test went. */
export interface TestResult {
  readonly name: string;
  readonly milliseconds: number;
  /** What went wrong; absent if nothing did. */
  readonly failure?: string;
  /** Why it was not run; absent if it was. */
  readonly skipped?: string;
}

/** Writes results as they come. */
// biome-ignore lint/style/noDefaultExport: node:test takes a reporter by its default export.
export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    const result: { -readonly [Key in keyof TestResult]: TestResult[Key] } = {
      name: data.name,
      milliseconds: data.details.duration_ms,
    };
    if (type === "test:fail") {
      const cause = data.details.error?.cause ?? data.details.error;
      result.failure = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    } else if (data.skip !== undefined && data.skip !== false) {
      result.skipped = typeof data.skip === "string" ? data.skip : "skipped";
    }
    yield `${JSON.stringify(result)}\n`;
  }
}
