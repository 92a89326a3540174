/** The demo and the quiz, as somebody at a terminal has them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { after, test } from "node:test";
import { faults } from "../../src/lab/faults/index.ts";
import { eventually, TestLab } from "./testlab.ts";

const lab = new TestLab();
after(() => lab.remove());

test("the demo shows who answers whom, the quiz breaks and repairs, and Ctrl-C leaves nothing behind", async () => {
  const demo = lab.start([lab.program, "lab", "up", "--demo", "--name", lab.name]);
  let screen = "";
  for (const stream of [demo.stdout, demo.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      screen += text;
    });
  }
  await eventually(
    "the screen is there",
    () => screen,
    (text) => text.includes("Service hello is answered by"),
    60_000,
  );
  assert.match(screen, /^ {2}outside +node port 172\.20\.0\.12:30080 +\d+ +\d+ +\d+ /m);
  assert.ok(!screen.includes("no answer"), screen);
  assert.match(screen, new RegExp(`lab exec --name ${lab.name} hello -- curl -s http://hello/`));

  await lab.kubectl("scale", "deployment", "hello", "--replicas=0");
  await eventually(
    "the screen goes on when the pod is gone that it asked from",
    () => screen,
    (text) => text.includes("Service hello is answered by nobody: it has no pods"),
  );
  await lab.kubectl("scale", "deployment", "hello", "--replicas=1");

  const played = await lab.run([lab.program, "lab", "quiz", "--name", lab.name], "hint\n99\n\n");
  assert.equal(played.code, 0, played.err);
  const fault = faults.find(({ deed }) => played.out.includes(`It was: ${deed}`));
  assert.ok(fault, played.out);
  assert.ok(played.out.includes(fault.symptom) && played.out.includes("No. Look again."), played.out);
  assert.ok(played.out.includes(fault.explanation) && played.out.endsWith("Repaired.\n"), played.out);

  demo.kill("SIGINT");
  const [code] = (await once(demo, "exit")) as [number | null];
  assert.equal(code, 0, screen);
  assert.ok(!screen.includes("ENOENT"), screen);
  assert.deepEqual(lab.namespaces(), []);
  assert.ok(!existsSync(lab.folder));
});
