import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../../net/address.ts";
import { endpointChain, isServiceChain, serviceChains } from "./names.ts";

function service(n: number) {
  return { namespace: `ns${n}`, name: `svc${n}`, port: "p80", protocol: "TCP" } as const;
}

test("service chains have the hashes that kube-proxy gives them", () => {
  const hashes = ["XPGD46QRK7WJZT7O", "GNZBNJ2PO5MGZ6GT", "X27LE4BHSL4DOUIK", "4SW47YFZTEDKD3PK", "NUKIZ6OKUXPJNT4C"];
  for (const [i, hash] of hashes.entries()) {
    assert.deepEqual(serviceChains(service(i + 1)), {
      cluster: `KUBE-SVC-${hash}`,
      local: `KUBE-SVL-${hash}`,
      external: `KUBE-EXT-${hash}`,
      firewall: `KUBE-FW-${hash}`,
    });
  }
});

test("endpoint chains have the hashes that kube-proxy gives them", () => {
  const chain = (n: number, address: string) =>
    endpointChain(service(n), { address: parseAddress(address), port: 80, local: false });
  assert.equal(chain(1, "10.180.0.1"), "KUBE-SEP-SXIVWICOYRO3J4NJ");
  assert.equal(chain(2, "10.180.0.2"), "KUBE-SEP-RS4RBKLTHTF2IUXJ");
  assert.equal(chain(3, "10.180.0.3"), "KUBE-SEP-OYPFS5VJICHGATKP");
  assert.equal(chain(4, "10.180.0.4"), "KUBE-SEP-UKSFD7AGPMPPLUHC");
  assert.equal(chain(4, "10.180.0.5"), "KUBE-SEP-C6EBXVWJJZMIWKLZ");
});

test("only chains of services and endpoints are taken for such", () => {
  for (const name of ["KUBE-SVC-A", "KUBE-SVL-A", "KUBE-SEP-A", "KUBE-EXT-A", "KUBE-FW-A"])
    assert(isServiceChain(name));
  for (const name of [
    "KUBE-SERVICES",
    "KUBE-FIREWALL",
    "KUBE-FORWARD",
    "KUBE-NODEPORTS",
    "DOCKER",
    "KUBE-EXTERNAL-SERVICES",
  ]) {
    assert(!isServiceChain(name), name);
  }
});
