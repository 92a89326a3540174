import assert from "node:assert/strict";
import { createServer } from "node:net";
import test from "node:test";
import { systemClock } from "../../telemetry/clock.ts";
import { silentLogger } from "../../telemetry/log.ts";
import { ServiceHealthServers } from "./servicehealth.ts";

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" ? (address?.port ?? 0) : 0;
}

const get = async (port: number) => {
  const reply = await fetch(`http://127.0.0.1:${port}/any/path`, { headers: { connection: "close" } });
  return { status: reply.status, body: (await reply.json()) as { localEndpoints: number; service: { name: string } } };
};

test("servers open, follow their Service, move and close", async (t) => {
  const signal = new AbortController().signal;
  const failures: string[] = [];
  const servers = new ServiceHealthServers({
    log: silentLogger,
    clock: systemClock,
    isHealthy: () => true,
    onFailure: ({ name }) => failures.push(name),
  });
  t.after(() => servers.close());
  await servers.setHosts(["127.0.0.1"], signal);
  const [one, two] = [await freePort(), await freePort()];
  const check = (name: string, port: number, localEndpoints: number) => ({
    namespace: "n",
    name,
    port,
    localEndpoints,
  });

  await servers.apply(
    new Map([
      ["n/a", check("a", one, 1)],
      ["n/b", check("b", two, 0)],
    ]),
    signal,
  );
  assert.equal((await get(one)).status, 200);
  assert.equal((await get(two)).status, 503);

  await servers.apply(new Map([["n/b", check("b", two, 3)]]), signal);
  assert.equal((await get(two)).body.localEndpoints, 3);

  await servers.apply(
    new Map([
      ["n/a", undefined],
      ["n/b", check("b", one, 2)],
    ]),
    signal,
  );
  assert.equal((await get(one)).body.service.name, "b");
  await assert.rejects(get(two));

  await servers.apply(new Map([["n/c", check("c", one, 1)]]), signal);
  assert.deepEqual(failures, ["c"]);
  await servers.close();
  await assert.rejects(get(one));
});
