/** Profiles of this process. */
import { Session } from "node:inspector/promises";
import { setTimeout } from "node:timers/promises";

/**
 * Measures where this process spends its time.
 *
 * @param milliseconds how long to measure.
 * @returns the text of a `.cpuprofile` file, as Chromium's developer tools and VS Code show it.
 */
export async function cpuProfile(milliseconds: number): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.start");
    await setTimeout(milliseconds);
    const { profile } = await session.post("Profiler.stop");
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}
