import assert from "node:assert/strict";
import { test } from "node:test";
import { type RawObject, serve } from "../../testing.ts";

const objects: readonly RawObject[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "shop" },
    spec: { clusterIP: "10.0.0.1", clusterIPs: ["10.0.0.1"], ports: [{ name: "http", port: 80 }] },
  },
];
const corefile = (ready: string) => `. {
  errors
  ${ready}
  kubernetes cluster.local in-addr.arpa {
    startup_timeout 10s
    fallthrough in-addr.arpa
  }
  whoami
}`;

test("before all objects were seen, known names are answered and unknown ones fail", async () => {
  const address = `127.0.0.1:${21000 + (process.pid % 9000)}`;
  const server = await serve(corefile(`ready ${address}`), { objects, unsynced: true });
  const ready = async () => {
    const response = await fetch(`http://${address}/ready`);
    return `${response.status} ${await response.text()}`;
  };
  assert.match(server.log.join("\n"), /\[WARNING\] plugin\/kubernetes: starting server with unsynced Kubernetes API/);
  assert.equal(await ready(), "503 kubernetes");
  assert.match(await server.text("web.shop.svc.cluster.local. A"), /10\.0\.0\.1$/);
  assert.equal(await server.text("none.shop.svc.cluster.local. A"), "SERVFAIL");
  assert.match(server.log.at(-1) ?? "", /plugin\/errors: 2 none\.shop\.svc\.cluster\.local\. A: plugin\/kubernetes: /);
  assert.match(await server.text("1.2.3.10.in-addr.arpa. A"), /^NOERROR/, "what falls through does so");
  server.cluster.complete();
  await server.clock.pass(0);
  assert.equal(await ready(), "200 OK");
  assert.match(await server.text("none.shop.svc.cluster.local. A"), /^NXDOMAIN aa\nauthority cluster\.local\./);
  server.stop();
});

test("the start waits for the objects no longer than startup_timeout", async () => {
  const server = await serve(corefile(""), { objects });
  assert.doesNotMatch(server.log.join("\n"), /unsynced/);
  assert.match(await server.text("none.shop.svc.cluster.local. A"), /^NXDOMAIN/);
  server.stop();
});
