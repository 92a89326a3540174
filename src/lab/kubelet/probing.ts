/** What the answers to a probe amount to: pure. */
import type { Probe } from "./pod.ts";

/** The verdict on a container, and how many answers in a row would turn it. */
export interface Verdict {
  readonly passing: boolean;
  readonly streak: number;
}

/** The verdict after one more answer: it turns after as many answers in a row as the probe's threshold says. */
export function judge(verdict: Verdict, success: boolean, probe: Probe): Verdict {
  if (success === verdict.passing) return { passing: verdict.passing, streak: 0 };
  const streak = verdict.streak + 1;
  const enough = success ? probe.successThreshold : probe.failureThreshold;
  return streak >= enough ? { passing: success, streak: 0 } : { passing: verdict.passing, streak };
}

/** Milliseconds between the questions to a container that has never been ready: nobody likes to wait. */
const eager = 200;

/** Milliseconds until a probe asks again. */
export function nextQuestion(probe: Probe, everPassed: boolean): number {
  return everPassed ? probe.period : Math.min(probe.period, eager);
}

/** Milliseconds before a container that ended is started again for the nth time: at once, then doubled from a second on. */
export function restartDelay(restarts: number): number {
  return restarts <= 1 ? 0 : Math.min(1000 * 2 ** (restarts - 2), 60_000);
}
