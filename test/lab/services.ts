/**
 * What Services do, by the names that Kubernetes' own end-to-end tests have for it: real kubectl, real packets, in one
 * mode of the proxy.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, patience, TestLab } from "./testlab.ts";

const [refused, silence] = ["curl: 7", "curl: 28"];
const nodes = ["172.20.0.11", "172.20.0.12"] as const;
const client = "default/client";
/** Node ports of the part of the range that the API server gives only to who asks for a certain one (KEP-3668). */
const [sharedPort, contestedPort] = [30_034, 30_035];

/** A pod that the lab serves: ready at once, gone soon. */
function pod(
  name: string,
  labels: object,
  more: { readonly node?: string; readonly env?: object; readonly spec?: object } = {},
): object {
  const env = Object.entries({ SHUTDOWN_DELAY: "0", ...more.env }).map(([key, value]) => ({
    name: key,
    value: String(value),
  }));
  const ports = [
    { name: "http", containerPort: 8080 },
    { name: "udp", containerPort: 8080, protocol: "UDP" },
    { name: "other", containerPort: 8081 },
  ];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels },
    spec: { nodeName: more.node ?? "node1", containers: [{ name: "web", image: "web", env, ports }], ...more.spec },
  };
}

/** A Service; its pods have the label `app` unless `spec` has a selector. */
function service(name: string, spec: object = {}, metadata: object = {}): object {
  const usual = { selector: { app: name }, ports: [{ name: "http", port: 80, targetPort: 8080 }] };
  return { apiVersion: "v1", kind: "Service", metadata: { name, ...metadata }, spec: { ...usual, ...spec } };
}

/** What deletes the rules of a mode on a node, unless they are those of nft. */
const flush: Readonly<Record<string, string>> = {
  iptables: "iptables -t nat -F && iptables -t nat -X",
  ipvs: "ipvsadm -C && iptables-legacy -t nat -F && iptables-legacy -t nat -X",
};

const probe = (path: string) => ({ httpGet: { path, port: 8080 }, periodSeconds: 1, failureThreshold: 1 });

/**
 * Runs all of it in a mode.
 *
 * @param keepsSource whether pods see who asks: a proxy between them, by its nature, hides it.
 */
export function testServices(mode: string, keepsSource = true): void {
  const lab = new TestLab();
  const make = (...objects: readonly object[]) => lab.make(...objects);
  const edit = (name: string, spec: object) =>
    lab.kubectl("patch", "service", name, "--type=merge", "-p", JSON.stringify({ spec }));
  const clusterIP = (name: string) => lab.field(`service ${name}`, ".spec.clusterIP");
  const nodePort = (name: string, port = 0) => lab.field(`service ${name}`, `.spec.ports[${port}].nodePort`);
  /** Who answers, all of them; a refusal is asked for once at a time, for kernels limit how often they say so by ICMP. */
  const isAnswer = (place: string, url: string, ...wanted: readonly string[]) =>
    eventually(
      `${url} from ${place} is answered by ${wanted}`,
      async () => (wanted[0] === refused ? [await lab.get(place, url)] : lab.answers(place, url)),
      (found) => String(found) === String([...wanted].sort()),
    );
  const hostname = (address: string, port: number | string = 80) => `http://${address}:${port}/hostname`;

  before(async () => {
    await lab.lab("up", "--mode", mode);
    const [a, b, c] = [
      pod("web-a", { app: "web" }),
      pod("web-b", { app: "web" }),
      pod("web-c", { app: "web" }, { node: "node2" }),
    ];
    await make(pod("client", { app: "client" }), pod("client2", { app: "client" }, { node: "node2" }), a, b, c);
    await lab.kubectl("wait", "--for=condition=Ready", "pod", "--all", `--timeout=${2 * patience}s`);
  });
  after(() => lab.remove());

  // Each has Services of its own, so that they need not wait for one another.
  describe(`in mode ${mode}`, { concurrency: 4 }, () => {
    test("Services should serve a basic endpoint from pods", async () => {
      await make(service("basic"));
      const ip = await clusterIP("basic");
      await isAnswer(client, hostname(ip), refused);
      await make(pod("basic-1", { app: "basic" }));
      await isAnswer(client, hostname(ip), "basic-1");
      await make(pod("basic-2", { app: "basic" }, { node: "node2" }));
      await isAnswer(client, hostname(ip), "basic-1", "basic-2");
      await lab.kubectl("delete", "pod", "basic-1", "basic-2");
      await isAnswer(client, hostname(ip), refused);
    });

    test("Services should serve multiport endpoints from pods", async () => {
      const ports = [
        { name: "one", port: 80, targetPort: 8080 },
        { name: "two", port: 81, targetPort: "other" },
      ];
      await make(service("multi", { selector: { app: "web" }, ports }));
      const ip = await clusterIP("multi");
      for (const port of [80, 81]) await isAnswer(client, hostname(ip, port), "web-a", "web-b", "web-c");
      await lab.kubectl("patch", "service", "multi", "--type=json", "-p", '[{"op":"remove","path":"/spec/ports/1"}]');
      await isAnswer(client, hostname(ip, 80), "web-a", "web-b", "web-c");
      await eventually(
        "nobody answers on a port that was deleted",
        () => lab.get(client, hostname(ip, 81)),
        (answer) => answer === (mode === "iptables" ? silence : refused),
      );
    });

    test("Services should serve endpoints on same port and different protocols", async () => {
      const ports = ["TCP", "UDP"].map((protocol) => ({
        name: protocol.toLowerCase(),
        port: 80,
        targetPort: 8080,
        protocol,
      }));
      await make(service("both", { selector: { app: "web" }, ports }));
      const ip = await clusterIP("both");
      await isAnswer(client, hostname(ip), "web-a", "web-b", "web-c");
      await eventually(
        "UDP",
        () => lab.udp(client, ip, 80),
        (answer) => answer.startsWith("web-"),
      );
      await edit("both", { ports: ports.slice(0, 1) });
      await eventually(
        "UDP is gone",
        () => lab.udp(client, ip, 80),
        (answer) => answer === "",
      );
      await isAnswer(client, hostname(ip), "web-a", "web-b", "web-c");
    });

    test("Services should be able to create a functioning NodePort service", async () => {
      const ports = ["TCP", "UDP"].map((protocol) => ({
        name: protocol.toLowerCase(),
        port: 80,
        targetPort: 8080,
        protocol,
      }));
      await make(service("node", { type: "NodePort", selector: { app: "web" }, ports }));
      const [tcp, udp] = [await nodePort("node"), await nodePort("node", 1)];
      for (const node of nodes) {
        for (const place of ["outside", "node1", client])
          await isAnswer(place, hostname(node, tcp), "web-a", "web-b", "web-c");
        await eventually(
          "UDP",
          () => lab.udp("outside", node, Number(udp)),
          (answer) => answer.startsWith("web-"),
        );
      }
      await edit("node", { type: "ClusterIP" });
      await eventually(
        "the node port is closed",
        () => lab.get("outside", hostname(nodes[0], tcp)),
        (answer) => answer === refused,
      );
    });

    /** Makes a NodePort Service whose clients keep their endpoint for a second. */
    const makeAffine = (name: string) =>
      make(
        service(name, {
          type: "NodePort",
          selector: { app: "web" },
          sessionAffinity: "ClientIP",
          sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } },
        }),
      );

    test("Services should have session affinity work, and switch it", async () => {
      await makeAffine("affine");
      const [ip, port] = [await clusterIP("affine"), await nodePort("affine")];
      const one = (place: string, url: string) =>
        eventually(
          `${url} has affinity`,
          () => lab.answers(place, url),
          (found) => found.length === 1 && found[0]?.startsWith("web-") === true,
        );
      await one(client, hostname(ip));
      await one("outside", hostname(nodes[0], port));
      await edit("affine", { sessionAffinity: "None", sessionAffinityConfig: null });
      await isAnswer(client, hostname(ip), "web-a", "web-b", "web-c");
      await edit("affine", { sessionAffinity: "ClientIP" });
      await one(client, hostname(ip));
    });

    const testTimeout = async () => {
      await makeAffine("forgetful");
      const ip = await clusterIP("forgetful");
      const used = new Set<string>();
      for (let i = 0; i < 16 && used.size < 2; i++) {
        const answer = await lab.get(client, hostname(ip));
        if (answer.startsWith("web-")) used.add(answer);
        await sleep(1300);
      }
      assert.ok(used.size > 1, `after the timeout another endpoint may be chosen: ${[...used]}`);
    };
    // IPVS remembers a client as long as its connections, and chooses by its address, and so the same again.
    if (mode !== "ipvs") test("Services should have session affinity time out", testTimeout);

    test("Services should be able to change the type from ExternalName to ClusterIP and NodePort, and back", async () => {
      await make({
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "typed" },
        spec: { type: "ExternalName", externalName: "example.com" },
      });
      const ports = [{ port: 80, targetPort: 8080 }];
      await edit("typed", { type: "ClusterIP", externalName: null, selector: { app: "web" }, ports });
      const ip = await clusterIP("typed");
      await isAnswer(client, hostname(ip), "web-a", "web-b", "web-c");
      await edit("typed", { type: "NodePort" });
      const port = await nodePort("typed");
      await isAnswer("outside", hostname(nodes[1], port), "web-a", "web-b", "web-c");
      await edit("typed", {
        type: "ExternalName",
        externalName: "example.com",
        clusterIP: null,
        clusterIPs: null,
        ports: [{ port: 80, nodePort: null }],
      });
      await eventually(
        "the node port is closed",
        () => lab.get("outside", hostname(nodes[1], port)),
        (answer) => answer === refused,
      );
    });

    test("Services should provide secure master service", async () => {
      const config = await lab.kubectl(
        "config",
        "view",
        "--raw",
        "-o",
        "jsonpath={.users[0].user.token} {.clusters[0].cluster.certificate-authority-data}",
      );
      const [token = "", authority = ""] = config.split(" ");
      const script =
        'printf %s "$1" | base64 -d > "$3"; curl -s -m 2 --noproxy "*" --cacert "$3" -H "Authorization: Bearer $2" https://10.96.0.1/api; rm "$3"';
      const { out } = await lab.at(client, "sh", "-c", script, "sh", authority, token, `${lab.folder}/test-ca.crt`);
      assert.match(out, /"APIVersions"/);
    });

    test("Services should allow pods to hairpin back to themselves through services", async () => {
      await make(pod("hairpin", { app: "hairpin" }), service("hairpin"));
      await isAnswer("default/hairpin", hostname(await clusterIP("hairpin")), "hairpin");
    });

    test("Services should be able to connect to unready endpoints only if PublishNotReadyAddresses is true", async () => {
      await make(
        pod(
          "unready",
          { app: "unready" },
          {
            spec: {
              containers: [
                {
                  name: "web",
                  image: "web",
                  env: [{ name: "READY", value: "false" }],
                  ports: [{ containerPort: 8080 }],
                  readinessProbe: probe("/readyz"),
                },
              ],
            },
          },
        ),
      );
      await make(
        service("unready"),
        service("unready-published", { selector: { app: "unready" }, publishNotReadyAddresses: true }),
      );
      await isAnswer(client, hostname(await clusterIP("unready-published")), "unready");
      await isAnswer(client, hostname(await clusterIP("unready")), refused);
      const address = await lab.field("pod unready", ".status.podIP");
      await lab.get(client, `http://${address}:8080/readyz?set=true`);
      await isAnswer(client, hostname(await clusterIP("unready")), "unready");
    });

    test("Services should be able to up and down services, and work after the service has been recreated", async () => {
      const fixed = { clusterIP: "10.96.7.7", selector: { app: "web" } };
      for (let i = 0; i < 2; i++) {
        await make(service("again", fixed));
        await isAnswer(client, hostname("10.96.7.7"), "web-a", "web-b", "web-c");
        await lab.kubectl("delete", "service", "again");
        await eventually(
          "nobody answers",
          () => lab.get(client, hostname("10.96.7.7")),
          (answer) => answer === refused || answer === silence,
        );
      }
    });

    test("Services should be able to update service type to NodePort listening on same port number but different protocols", async () => {
      const ports = ["TCP", "UDP"].map((protocol) => ({
        name: protocol.toLowerCase(),
        port: 80,
        targetPort: 8080,
        protocol,
      }));
      await make(service("update", { selector: { app: "web" }, ports }));
      await edit("update", { type: "NodePort", ports: ports.map((port) => ({ ...port, nodePort: sharedPort })) });
      await isAnswer("outside", hostname(nodes[0], sharedPort), "web-a", "web-b", "web-c");
      await eventually(
        "UDP",
        () => lab.udp("outside", nodes[0], sharedPort),
        (answer) => answer.startsWith("web-"),
      );
    });

    test("Services should prevent NodePort collisions", async () => {
      const spec = { type: "NodePort", ports: [{ port: 80, nodePort: contestedPort }] };
      await make(service("taker", spec));
      await assert.rejects(make(service("late", spec)), /provided port is already allocated/);
      await lab.kubectl("delete", "service", "taker");
      await make(service("late", spec));
    });

    test("Services should be possible to connect to a service via ExternalIP when the external IP is not assigned to a node", async () => {
      await make(service("external", { selector: { app: "web" }, externalIPs: ["203.0.113.10"] }));
      await isAnswer(client, hostname("203.0.113.10"), "web-a", "web-b", "web-c");
      await isAnswer("outside", hostname("203.0.113.10"), "web-a", "web-b", "web-c");
    });

    test("Services should be rejected when no endpoints exist", async () => {
      await make(service("empty", { type: "NodePort" }));
      for (const place of [client, "node1"]) await isAnswer(place, hostname(await clusterIP("empty")), refused);
      await isAnswer("outside", hostname(nodes[1], await nodePort("empty")), refused);
    });

    test("Services should implement service.kubernetes.io/headless and service.kubernetes.io/service-proxy-name", async () => {
      for (const label of ["headless", "service-proxy-name"]) {
        await make(service(label, { selector: { app: "web" } }));
        const ip = await clusterIP(label);
        await isAnswer(client, hostname(ip), "web-a", "web-b", "web-c");
        await lab.kubectl("label", "service", label, `service.kubernetes.io/${label}=other`);
        await eventually(
          "nobody serves it",
          () => lab.get(client, hostname(ip)),
          (answer) => answer === refused || answer === silence,
        );
        await lab.kubectl("label", "service", label, `service.kubernetes.io/${label}-`);
        await isAnswer(client, hostname(ip), "web-a", "web-b", "web-c");
      }
    });

    const testSource = async () => {
      await make(service("source", { selector: { app: "web" } }));
      const url = `http://${await clusterIP("source")}/clientip`;
      const own = await lab.field("pod client2", ".status.podIP");
      const sources = await eventually(
        "answers",
        () => lab.answers("default/client2", url),
        (found) => found.every((answer) => !answer.startsWith("curl")),
      );
      assert.deepEqual([...new Set(sources.map((source) => source.replace(/:\d+$/, "")))], [own]);
    };
    if (keepsSource) test("Services should preserve source pod IP for traffic thru service cluster IP", testSource);

    test("Services should respect internalTrafficPolicy=Local", async () => {
      await make(service("local", { selector: { app: "web" }, internalTrafficPolicy: "Local" }));
      const ip = await clusterIP("local");
      for (const place of [client, "node1"]) await isAnswer(place, hostname(ip), "web-a", "web-b");
      for (const place of ["default/client2", "node2"]) await isAnswer(place, hostname(ip), "web-c");
    });

    test("Services should fallback to terminating endpoints when there are no ready endpoints, and fail the health check node port", async () => {
      const slow = { env: { SHUTDOWN_DELAY: 2000 * patience }, spec: { terminationGracePeriodSeconds: 3 * patience } };
      await make(pod("ending", { app: "ending" }, slow));
      await make(service("ending", { type: "NodePort" }));
      await make(
        service("ending-local", {
          type: "LoadBalancer",
          externalTrafficPolicy: "Local",
          internalTrafficPolicy: "Local",
          selector: { app: "ending" },
        }),
      );
      const cluster = hostname(await clusterIP("ending"));
      const [port, localPort] = [await nodePort("ending"), await nodePort("ending-local")];
      const health = `http://${nodes[0]}:${await lab.field("service ending-local", ".spec.healthCheckNodePort")}/`;
      await isAnswer(client, cluster, "ending");
      await eventually(
        "healthy",
        () => lab.get("outside", health),
        (answer) => answer.includes('"localEndpoints": 1') || answer.includes('"localEndpoints":1'),
      );
      await lab.kubectl("delete", "pod", "ending", "--wait=false");
      await eventually(
        "unhealthy while only terminating endpoints are left",
        () => lab.get("outside", health),
        (answer) => answer === "curl: 22",
      );
      await isAnswer(client, cluster, "ending");
      await isAnswer("outside", hostname(nodes[1], port), "ending");
      await isAnswer("outside", hostname(nodes[0], localPort), "ending");
      await isAnswer(client, hostname(await clusterIP("ending-local")), "ending");
      await isAnswer("outside", hostname(nodes[1], localPort), silence);
      await lab.kubectl("delete", "pod", "ending", "--grace-period=0", "--force");
      await isAnswer(client, cluster, refused);
    });

    test("LoadBalancers should only allow access from service loadbalancer source ranges, and ESIPP should keep the client's address", async () => {
      await make(
        service("balanced", {
          type: "LoadBalancer",
          externalTrafficPolicy: "Local",
          selector: { app: "web" },
          loadBalancerSourceRanges: ["172.20.0.2/32"],
        }),
      );
      const status = { loadBalancer: { ingress: [{ ip: "203.0.113.20" }] } };
      const balanced = JSON.parse(await lab.kubectl("get", "service", "balanced", "-o", "json")) as object;
      await lab.replaceRaw("/api/v1/namespaces/default/services/balanced/status", { ...balanced, status });
      await isAnswer("outside", hostname("203.0.113.20"), "web-a", "web-b");
      if (keepsSource) assert.match(await lab.get("outside", "http://203.0.113.20/clientip"), /^172\.20\.0\.2:/);
      await edit("balanced", { loadBalancerSourceRanges: ["192.0.2.0/24"] });
      await isAnswer("outside", hostname("203.0.113.20"), silence);
    });

    test("Conntrack should be able to preserve UDP traffic when server pod cycles", async () => {
      const ports = [{ name: "udp", port: 80, targetPort: 8080, protocol: "UDP" }];
      await make(pod("cycle-1", { app: "cycle" }), service("cycle", { type: "NodePort", ports }));
      const [ip, port] = [await clusterIP("cycle"), Number(await nodePort("cycle"))];
      const isServed = async (by: string) => {
        await eventually(
          `cluster IP by ${by}`,
          () => lab.udp(client, ip, 80, "hostname", 5001),
          (answer) => answer === by,
        );
        await eventually(
          `node port by ${by}`,
          () => lab.udp("outside", nodes[1], port, "hostname", 5002),
          (answer) => answer === by,
        );
      };
      await isServed("cycle-1");
      await make(pod("cycle-2", { app: "cycle" }, { node: "node2" }));
      await lab.kubectl("delete", "pod", "cycle-1");
      await isServed("cycle-2");
    });

    test("EndpointSlice should support a Service with multiple ports and multiple EndpointSlices of one's own", async () => {
      const address = (name: string) => lab.field(`pod ${name}`, ".status.podIP");
      const slice = async (name: string, of: string) => ({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name, labels: { "kubernetes.io/service-name": "manual" } },
        addressType: "IPv4",
        ports: [
          { name: "http", port: 8080 },
          { name: "second", port: 8081 },
        ],
        endpoints: [{ addresses: [await address(of)] }],
      });
      const ports = [
        { name: "http", port: 80 },
        { name: "second", port: 81 },
      ];
      const { selector: _, ...spec } = { selector: undefined, ports };
      await make(
        { apiVersion: "v1", kind: "Service", metadata: { name: "manual" }, spec },
        await slice("manual-1", "web-a"),
        await slice("manual-2", "web-c"),
      );
      const ip = await clusterIP("manual");
      for (const port of [80, 81]) await isAnswer(client, hostname(ip, port), "web-a", "web-c");
    });

    test("Networking should check kube-proxy urls", async () => {
      assert.match((await lab.at("node1", "curl", "-s", "http://127.0.0.1:10256/healthz")).out, /lastUpdated/);
      assert.equal((await lab.at("node1", "curl", "-s", "http://127.0.0.1:10249/proxyMode")).out, mode);
    });
  });

  describe(`in mode ${mode}, with what they have in common changed`, () => {
    test("Networking Granular Checks: endpoints using hostNetwork, large requests, updated endpoints", async () => {
      await make(pod("host", { app: "host" }, { node: "node2", spec: { hostNetwork: true } }), service("host"));
      const ip = await clusterIP("host");
      for (const place of [client, "node1", "node2", "default/client2"]) await isAnswer(place, hostname(ip), "host");
      const long = "x".repeat(60_000);
      assert.equal(await lab.get(client, `http://${ip}/echo`, "--data-binary", long), long);
      await lab.kubectl("label", "pod", "web-c", "app=host", "--overwrite");
      await isAnswer(client, hostname(ip), "host", "web-c");
      await lab.kubectl("label", "pod", "web-c", "app=web", "--overwrite");
      await isAnswer(client, hostname(ip), "host");
    });

    test("Services should work after restarting kube-proxy, and their rules should be recreated if they are deleted", async () => {
      await make(service("restarted", { selector: { app: "web" } }));
      const ip = await clusterIP("restarted");
      await isAnswer(client, hostname(ip), "web-a", "web-b", "web-c");
      const status = JSON.parse(await lab.lab("status", "-o", "json")) as {
        readonly nodes: readonly { readonly proxyPid: number }[];
      };
      process.kill(status.nodes[0]?.proxyPid ?? 0, "SIGKILL");
      await isAnswer(client, hostname(ip), "web-a", "web-b", "web-c");
      await lab.kubectl("delete", "pod", "web-b");
      await isAnswer(client, hostname(ip), "web-a", "web-c");
      assert.equal((await lab.at("node1", "sh", "-c", flush[mode] ?? "nft flush ruleset")).code, 0);
      await isAnswer(client, hostname(ip), "web-a", "web-c");
    });
  });
}
