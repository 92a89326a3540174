import assert from "node:assert/strict";
import test from "node:test";
import { parseAddress } from "../../net/address.ts";
import { hostsFile, resolverFile } from "./files.ts";

const none = { nameservers: [], searches: [], options: [] };

test("resolv.conf is as dnsPolicy wants it, with what dnsConfig adds", () => {
  const pod = { namespace: "shop", dnsPolicy: "ClusterFirst", hostNetwork: false, dns: none };
  const cluster = "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\n";
  assert.equal(resolverFile(pod), `${cluster}options ndots:5\n`);
  assert.equal(resolverFile({ ...pod, hostNetwork: true }), "");
  assert.equal(resolverFile({ ...pod, dnsPolicy: "Default" }), "");
  const dns = {
    nameservers: ["10.96.0.10", "192.0.2.1"],
    searches: ["example.com"],
    options: [
      { name: "ndots", value: "2" },
      { name: "edns0", value: "" },
    ],
  };
  assert.equal(
    resolverFile({ ...pod, dns }),
    `${cluster.trim().replace("\n", "\nnameserver 192.0.2.1\n")} example.com\noptions ndots:2 edns0\n`,
  );
  assert.equal(
    resolverFile({ ...pod, dnsPolicy: "None", dns }),
    "nameserver 10.96.0.10\nnameserver 192.0.2.1\nsearch example.com\noptions ndots:2 edns0\n",
  );
});

test("/etc/hosts has the pod's addresses with all its names, and its aliases", () => {
  const pod = { namespace: "shop", subdomain: "", hostAliases: [] };
  const address = parseAddress("10.244.1.2");
  const local = "127.0.0.1 localhost\n::1 localhost\n";
  assert.equal(hostsFile(pod, [address], "web"), `${local}10.244.1.2 web\n`);
  const named = { ...pod, subdomain: "sub", hostAliases: [{ ip: "192.0.2.1", names: ["a", "b"] }] };
  assert.equal(
    hostsFile(named, [address], "web"),
    `${local}10.244.1.2 web.sub.shop.svc.cluster.local web\n192.0.2.1 a b\n`,
  );
});
