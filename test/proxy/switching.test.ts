/** Switching between modes breaks no connection: 100 long ones and a stream of new ones through every ordered pair. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "./machine.ts";
import { assertServed, assertUnbroken, configuration, makeMachine, removed, underLoad } from "./switching.ts";

// The lock is one for the whole machine, though the tables of these namespaces are nobody else's.
const folder = mkdtempSync(join(tmpdir(), "ptl-switching-"));
process.env.XTABLES_LOCKFILE = join(folder, "xtables.lock");
after(() => rmSync(folder, { recursive: true }));

/** Milliseconds of load after each switch. */
const lull = 300;

for (const variant of ["nft", "legacy"]) {
  test(`a changed configuration file switches between nftables, iptables (${variant}) and userspace`, async (t) => {
    process.env.PORTOLAN_IPTABLES = variant;
    const machine = await makeMachine(t);
    // Every ordered pair. The long connections begin as the proxy's own, and live through all that follows.
    const modes = ["userspace", "nftables", "iptables", "userspace", "iptables", "nftables", "userspace"];
    const config = machine.write("config", configuration(modes[0] ?? ""));
    const agent = await machine.start("--config", config, "--manifests", machine.directory, "-v", "2");
    const report = await underLoad(machine, async () => {
      for (const [i, mode] of modes.slice(1).entries()) {
        const before = agent.log.length;
        machine.write("config", configuration(mode));
        await removed(agent, modes[i] ?? "", before);
        await sleep(lull);
      }
    });
    assertUnbroken(t, report);
    assert.doesNotMatch(machine.rules(), /KUBE-SVC|table ip portolan \{/);
    assertServed(await underLoad(machine, () => sleep(lull)));
    machine.write("config", configuration("nftables"));
    await eventually("what the proxy listened on is gone", () => !machine.exec("ip", "address").includes("169.254"));
    assert.equal(await agent.end("SIGTERM"), 0);
  });
}

test("restarts with another mode switch between nftables, iptables-nft and iptables-legacy, and to userspace", async (t) => {
  const machine = await makeMachine(t);
  const start = (mode: string) => {
    const [name = "", variant = ""] = mode.split("-");
    process.env.PORTOLAN_IPTABLES = variant;
    return machine.start("--proxy-mode", name, "--manifests", machine.directory);
  };
  const modes = [
    "iptables-nft",
    "iptables-legacy",
    "iptables-nft",
    "nftables",
    "iptables-legacy",
    "nftables",
    "userspace",
  ];
  let agent = await start("nftables");
  const report = await underLoad(machine, async () => {
    for (const [i, mode] of modes.entries()) {
      await agent.end(i % 2 === 0 ? "SIGTERM" : "SIGKILL");
      agent = await start(mode);
      await sleep(lull);
    }
  });
  assertUnbroken(t, report);
  assert.doesNotMatch(machine.rules(), /KUBE-SVC|table ip portolan \{/);
});
