import assert from "node:assert/strict";
import test from "node:test";
import type { Probe } from "./pod.ts";
import { judge, nextQuestion, restartDelay } from "./probing.ts";

const probe: Probe = {
  action: { type: "exec", command: ["true"] },
  initialDelay: 0,
  period: 10_000,
  timeout: 1000,
  successThreshold: 2,
  failureThreshold: 3,
};

function verdicts(passing: boolean, answers: readonly boolean[]): readonly boolean[] {
  let verdict = { passing, streak: 0 };
  return answers.map((answer) => {
    verdict = judge(verdict, answer, probe);
    return verdict.passing;
  });
}

test("a verdict turns after as many answers in a row as the threshold says", () => {
  assert.deepEqual(verdicts(true, [false, false, true, false, false, false]), [true, true, true, true, true, false]);
  assert.deepEqual(verdicts(false, [true, false, true, true]), [false, false, false, true]);
});

test("a probe asks more often until it has passed once", () => {
  assert.equal(nextQuestion(probe, true), 10_000);
  assert.equal(nextQuestion(probe, false), 200);
  assert.equal(nextQuestion({ ...probe, period: 100 }, false), 100);
});

test("pauses before restarts double up to a minute, and the first is none", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 20].map(restartDelay), [0, 0, 1000, 2000, 4000, 60_000]);
});
