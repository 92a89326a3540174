/** What kubectl can do with a pod that runs, besides looking at it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnOnTerminal } from "../../src/kernel/terminal.ts";
import { eventually, type TestLab } from "./testlab.ts";

/** The network that a test is in. */
const here = "/proc/self/ns/net";

/** Uses a pod whose one container was started twice, with a kubectl. Any pod `hello` answers on port 8080. */
export async function reachInto(lab: TestLab, pod: string, program: string): Promise<void> {
  const done = async (...args: readonly string[]) => {
    const { code, out, err } = await lab.run([program, ...args]);
    assert.equal(code, 0, `${program} ${args.join(" ")}: ${err}`);
    return out;
  };
  assert.match(await done("logs", pod, "--previous"), /^first\n/);
  assert.equal((await done("logs", pod)).trim(), "first", "each start has a log of its own");
  await onTerminal(lab, pod, program);
  await copy(pod, done);
  await forward(lab, program);
  await talk(lab, program, done);
}

async function onTerminal(lab: TestLab, pod: string, program: string): Promise<void> {
  const shell = spawnOnTerminal(here, [program, "exec", "-it", pod, "--", "sh"], { env: lab.env });
  try {
    let shown = "";
    shell.output.on("data", (bytes: Buffer) => {
      shown += bytes.toString();
    });
    const sees = (text: RegExp) =>
      eventually(
        `the terminal shows ${text}`,
        async () => shown,
        (now) => text.test(now),
      );
    shell.resize(100, 40);
    await sees(/[$#] $/);
    for (const [columns, rows] of [
      [100, 40],
      [120, 50],
    ] as const) {
      shell.resize(columns, rows);
      await eventually(
        "the size has come over",
        async () => {
          shell.input.write("stty size\n");
          await new Promise((resolve) => setTimeout(resolve, 50));
          return shown;
        },
        (now) => now.includes(`${rows} ${columns}`),
      );
    }
    shell.input.write("sleep 1000\n");
    await sees(/sleep 1000\r\n$/);
    shell.input.write("\x03");
    shell.input.write("hostname; exit 5\n");
    const [code] = (await once(shell.child, "exit")) as [number | null];
    assert.equal(code, 5, shown);
    assert.ok(shown.includes(`${pod}\r\n`), shown);
  } finally {
    shell.child.kill("SIGKILL");
  }
}

async function copy(pod: string, done: (...args: readonly string[]) => Promise<string>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ptl-copy-"));
  try {
    writeFileSync(join(folder, "here"), "x".repeat(300_000));
    await done("cp", join(folder, "here"), `${pod}:${folder}/there`);
    await done("cp", `${pod}:${folder}/there`, join(folder, "back"));
    assert.equal(readFileSync(join(folder, "back"), "utf8").length, 300_000);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function forward(lab: TestLab, program: string): Promise<void> {
  await lab.kubectl("run", "forwarded", "--image=x", "--port=8080");
  await lab.kubectl("wait", "--for=condition=Ready", "pod/forwarded", "--timeout=10s");
  const child = lab.start([program, "port-forward", "pod/forwarded", ":8080", "--address=127.0.0.1"]);
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (bytes: Buffer) => {
      said += bytes.toString();
    });
  await eventually(
    "kubectl listens",
    async () => said,
    (now) => now.includes("Forwarding from"),
  );
  const socket = connect(Number(/127\.0\.0\.1:(\d+)/.exec(said)?.[1]), "127.0.0.1");
  socket.end("GET /hostname HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  let answer = "";
  for await (const bytes of socket) answer += String(bytes);
  assert.match(answer, /^HTTP\/1.1 200 [\s\S]*forwarded/);
  child.kill("SIGTERM");
  await lab.kubectl("delete", "pod", "forwarded", "--grace-period=0", "--force");
}

/** Runs pods that take input, and are gone when they have ended. */
async function talk(
  lab: TestLab,
  program: string,
  done: (...args: readonly string[]) => Promise<string>,
): Promise<void> {
  const run = [program, "run", "talker", "--rm", "--image=x", "--restart=Never"];
  const script = "while read line; do echo heard $line; done; echo bye";
  const { out, err } = await lab.run([...run, "-i", "--command", "--", "sh", "-c", script], "one\ntwo\n");
  assert.match(out, /heard one\nheard two\nbye\n/, err);
  // With an input, arguments alone are a program, too.
  const shell = spawnOnTerminal(here, [...run, "-it", "--", "sh"], { env: lab.env });
  try {
    let shown = "";
    shell.output.on("data", (bytes: Buffer) => {
      shown += bytes.toString();
    });
    // Whoever types before kubectl listens is heard by nobody.
    await eventually(
      "the shell answers",
      async () => {
        if (shown.includes("try pressing")) shell.input.write("echo $((6 * 7))\n");
        await new Promise((resolve) => setTimeout(resolve, 50));
        return shown;
      },
      (now) => now.includes("42\r\n"),
    );
    shell.input.write("exit\n");
    const [code] = (await once(shell.child, "exit")) as [number | null];
    assert.equal(code, 0, shown);
  } finally {
    shell.child.kill("SIGKILL");
  }
  const command = ["--command", "--", "sh", "-c", "echo begun; sleep 0.5; echo ended"];
  await done("run", "sayer", "--image=x", "--restart=Never", ...command);
  await eventually(
    "it has begun",
    () => lab.field("pod sayer", ".status.phase"),
    (phase) => phase !== "Pending",
  );
  assert.equal(await done("logs", "--follow", "sayer"), "begun\nended\n", "a log that is followed ends");
  await lab.kubectl("delete", "pod", "sayer", "--grace-period=0", "--force");
}
