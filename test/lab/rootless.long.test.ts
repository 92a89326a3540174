/** Labs of users without privileges, held against labs of root. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { after, test } from "node:test";
import { processIds, signalProcess } from "../../src/kernel/programs.ts";
import { processesOfWorlds } from "../../src/kernel/rootless.ts";
import { story } from "./story.ts";
import { eventually, TestLab, unprivilegedLabs, unprivilegedUser } from "./testlab.ts";

const name = `lab${process.pid}`;
const [theirs, roots] = [new TestLab({ name, unprivileged: true }), new TestLab({ name })];
after(async () => {
  await Promise.all([theirs.remove(), roots.remove()]);
  // Labs of tests that did not come to their end.
  if (unprivilegedUser !== process.getuid?.())
    for (const pid of processIds().filter(isTheirs)) signalProcess(pid, "SIGKILL");
});

function isTheirs(pid: number): boolean {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid === unprivilegedUser;
}

if (unprivilegedLabs) {
  test("side by side with a lab of root of the same name, it shows the same in every mode", async () => {
    const modes = ["nftables", "iptables", "userspace"];
    const [found, expected] = await Promise.all([story(theirs, modes), story(roots, modes)]);
    assert.deepEqual(found, expected);
  });

  test("the demo plays, and Ctrl-C leaves nothing behind", async () => {
    await theirs.lab("reset");
    const demo = theirs.start([theirs.program, "lab", "up", "--demo", "--name", name]);
    let screen = "";
    for (const stream of [demo.stdout, demo.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        screen += text;
      });
    }
    const ended = once(demo, "exit") as Promise<[number | null]>;
    await eventually(
      "the screen is there",
      () => screen,
      (text) => text.includes("Service hello is answered by"),
      60_000,
    );
    demo.kill("SIGINT");
    assert.deepEqual(await ended, [0, null], screen);
    assert.match(screen, /^ {2}outside +node port 172\.20\.0\.12:30080 +\d+ +\d+ +\d+ /m);
    assert.ok(!existsSync(theirs.folder));
    await eventually(
      "no process is left",
      () => processesOfWorlds(theirs.folder),
      (found) => found.length === 0,
    );
  });

  test("the tests of labs pass without root", async () => {
    const files = ["life", "services-nftables", "services-iptables", "services-userspace"];
    const tests = files.map((file) => `test/lab/${file}.test.ts`);
    const tree = dirname(theirs.program);
    const child = theirs.start(["env", "-C", tree, process.execPath, "scripts/test.ts", ...tests]);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    const [code] = (await once(child, "exit")) as [number | null];
    assert.equal(code, 0, output);
  });
}
