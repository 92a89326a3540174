/** The userspace mode on a kernel whose nf_tables cannot translate addresses: runs in a virtual machine. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { chooseMode, modeFactories } from "../../src/proxy/modes/index.ts";
import { userspace } from "../../src/proxy/modes/userspace/index.ts";
import { testFlows } from "../flows/modes.ts";

test("a kernel without nat in nf_tables is told so by what it lacks, and modes iptables and userspace run there", async () => {
  const { factory, passedOver } = await chooseMode("", modeFactories);
  assert.equal(factory.name, "iptables");
  assert.deepEqual(
    passedOver.map(({ name }) => name),
    ["nftables"],
  );
  assert.match(
    passedOver[0]?.missing.join() ?? "",
    /nf_tables of this kernel lacks what the rules need: add .* EOPNOTSUPP/,
  );
  assert.equal((await userspace.probe()).able, true);
});

testFlows(userspace, "replace", "userspace");

test("cleanup of all modes leaves no chain, though the kernel has neither IPVS nor nat in nf_tables", async () => {
  for (const { cleanup } of modeFactories) await cleanup();
  assert.doesNotMatch(execFileSync("iptables-legacy-save", { encoding: "utf8" }), /KUBE-S/);
});
