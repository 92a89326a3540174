import assert from "node:assert/strict";
import test from "node:test";
import { chooseMode } from "./index.ts";
import type { ModeFactory, ModeName, Probe } from "./mode.ts";

function factory(name: ModeName, probe: Probe): ModeFactory {
  const never = () => Promise.reject(new Error("not asked for"));
  return { name, probe: async () => probe, create: never, cleanup: never };
}

const able: Probe = { able: true };
const unable: Probe = { able: false, missing: ["module nf_tables", "root"] };

test("without a name the first mode that this machine can run is taken, and what is missing for better ones told", async () => {
  const { factory: chosen, passedOver } = await chooseMode("", [
    factory("nftables", unable),
    factory("iptables", able),
  ]);
  assert.equal(chosen.name, "iptables");
  assert.deepEqual(passedOver, [{ name: "nftables", missing: ["module nf_tables", "root"] }]);
});

test("a mode that is named is taken, or nothing", async () => {
  const factories = [factory("nftables", able), factory("iptables", unable)];
  assert.equal((await chooseMode("nftables", factories)).factory.name, "nftables");
  await assert.rejects(
    chooseMode("iptables", factories),
    new Error("mode iptables cannot be used here: module nf_tables; root"),
  );
});
