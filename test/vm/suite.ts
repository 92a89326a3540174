/** Runs a file of tests in a virtual machine, and reports each of them as a test of the calling file. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestResult } from "./reporter.ts";
import { runInVm, type VmOptions } from "./vm.ts";

/**
 * Boots the machine, runs the file, and makes one test here of each there. A test that says nothing of itself because
 * the machine died is missed by none: the last test is that the program ended as it should.
 *
 * @param file a program that uses node:test, as a path from the root of the repository.
 */
export async function testInVm(file: string, options: VmOptions): Promise<void> {
  const start = performance.now();
  const argv = [
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    "--test-reporter=./test/vm/reporter.ts",
    file,
  ];
  const { status, output, errors, log } = await runInVm(argv, options);
  const results = output.split("\n").filter((line) => line.startsWith("{"));
  let failed = 0;
  for (const line of results) {
    const { name, failure, skipped } = JSON.parse(line) as TestResult;
    if (failure !== undefined) failed++;
    test(name, { skip: skipped ?? false }, () => {
      if (failure !== undefined) assert.fail(failure);
    });
  }
  const seconds = Math.round((performance.now() - start) / 1000);
  test(`the virtual machine ran ${results.length} tests in ${seconds} s and ended well`, () => {
    assert.notEqual(results.length, 0, `${errors}\n${log}`);
    assert.equal(status, failed > 0 ? 1 : 0, `${errors}\n${log}`);
  });
}
