/**
 * The agent leaves mode ipvs and enters it, and breaks no connection; runs in a virtual machine. What this kernel can
 * run beside ipvs: iptables (legacy), and userspace over such rules.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Machine } from "../proxy/machine.ts";
import { assertUnbroken, configuration, makeMachine, removed, underLoad } from "../proxy/switching.ts";

/** Milliseconds of load after each switch. */
const lull = 500;
/**
 * Milliseconds between two exchanges on each long connection. This machine is slow, so a test takes minutes, in which no
 * port of a client should be used twice: what that does soon after mode ipvs was left is in docs/modes/ipvs.md.
 */
const pause = 500;

/** Does something under load from the node and from elsewhere, 100 long connections each, none of which may break. */
async function unbroken(t: TestContext, machine: Machine, work: () => Promise<void>): Promise<void> {
  const from = machine.addClient();
  const fromNode = await underLoad(
    machine,
    async () => assertUnbroken(t, await underLoad(machine, work, { from, pause })),
    { pause },
  );
  assertUnbroken(t, fromNode);
}

for (const [name, modes] of [
  ["ipvs and iptables", ["ipvs", "iptables", "ipvs"]],
  ["ipvs and userspace", ["ipvs", "userspace", "ipvs"]],
] as const) {
  // The long connections begin as those of IPVS, and live through all that follows.
  test(`a changed configuration file switches between ${name}, forth and back`, async (t) => {
    const machine = await makeMachine(t);
    const config = machine.write("config", configuration(modes[0]));
    const agent = await machine.start("--config", config, "--manifests", machine.directory, "-v", "2");
    await unbroken(t, machine, async () => {
      for (const [i, mode] of modes.slice(1).entries()) {
        const before = agent.log.length;
        machine.write("config", configuration(mode));
        await removed(agent, modes[i] ?? "", before);
        await sleep(lull);
      }
    });
    assert.equal(await agent.end("SIGTERM"), 0);
  });
}

test("restarts, some after a kill while connections end, switch between ipvs and iptables", async (t) => {
  const machine = await makeMachine(t);
  const start = (mode: string) => machine.start("--proxy-mode", mode, "--manifests", machine.directory, "-v", "2");
  let agent = await start("ipvs");
  await unbroken(t, machine, async () => {
    for (const [i, mode] of ["ipvs", "iptables", "iptables", "ipvs", "ipvs"].entries()) {
      await agent.end(i % 2 === 0 ? "SIGKILL" : "SIGTERM");
      agent = await start(mode);
      if (i === 2) await removed(agent, "ipvs", 0);
      await sleep(lull);
    }
  });
  assert.doesNotMatch(machine.exec("iptables-legacy-save"), /KUBE-IPVS-DRAINING/);
  await agent.end("SIGTERM");
  assert.equal((await machine.portolan("proxy", "--cleanup")).code, 0);
  assert.equal(machine.exec("ipvsadm", "-Sn") + machine.exec("ipset", "save"), "");
});
