import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { serve } from "../../testing.ts";
import { parseWeights } from "./weights.ts";

const addresses = [1, 2, 3, 4].map((i) => `answer "{{ .Name }} 60 IN A 192.0.2.${i}"`).join("\n");
const names = `template IN A . {\n answer "{{ .Name }} 60 IN TXT x"\n ${addresses}\n }`;

/** The last octets of the answer's addresses. */
async function order(corefile: string, random: () => number): Promise<string> {
  const server = await serve(`. {\n ${corefile}\n ${names}\n}`, { random });
  const reply = await server.text("a.example. A");
  server.stop();
  assert.match(reply.split("\n")[1] ?? "", /TXT/);
  return [...reply.matchAll(/192\.0\.2\.(\d)/g)].map(([, octet]) => octet).join("");
}

test("addresses come in any order, each as often as any other", async () => {
  assert.equal(await order("loadbalance", () => 0), "2341");
  assert.equal(await order("loadbalance", () => 0.999), "1234");
  const first = new Map<string, number>();
  let seed = 1;
  const random = () => {
    seed = (seed * 48271) % 0x7fffffff;
    return seed / 0x7fffffff;
  };
  const server = await serve(`. {\n loadbalance\n ${names}\n}`, { random });
  for (let i = 0; i < 4000; i++) {
    const [, octet = ""] = /192\.0\.2\.(\d)/.exec(await server.text("a.example. A")) ?? [];
    first.set(octet, (first.get(octet) ?? 0) + 1);
  }
  server.stop();
  assert.equal(first.size, 4);
  for (const count of first.values()) assert.ok(count > 850 && count < 1150, `${count} of 4000`);
});

test("preferred networks come first", async () => {
  assert.equal(await order("loadbalance {\n prefer 192.0.2.3/32 192.0.2.2/31\n }", () => 0.999), "3214");
});

test("weights choose the first address, and follow their file", async () => {
  const directory = mkdtempSync(join(tmpdir(), "ptl-weights-"));
  const path = join(directory, "w");
  writeFileSync(path, "a.example\n192.0.2.1 7 # most\n192.0.2.2 1\n");
  assert.equal(await order(`loadbalance weighted ${path}`, () => 0.69), "1234");
  assert.equal(await order(`loadbalance weighted ${path}`, () => 0.71), "2134");
  rmSync(directory, { recursive: true });
});

test("faults in a file of weights have a place", () => {
  for (const [text, fault] of [
    ["192.0.2.1 1", /: w:1: must be a domain name/],
    ["a.example\n192.0.2.1 0", /: w:2: weight '0'/],
    ["a.example\n192.0.2.1 256", /: w:2: weight '256'/],
    ["a..b", /: w:1: 'a\.\.b' is not/],
  ] as const) {
    assert.throws(() => parseWeights(text, "w"), fault);
  }
});

test("a file of weights that is not there is waited for", async () => {
  const server = await serve(". {\n loadbalance weighted /none/weights\n whoami\n}");
  assert.match(server.log.join(), /\[WARNING\] plugin\/loadbalance: \/none\/weights is not there/);
  server.stop();
  await assert.rejects(serve(". {\n loadbalance weighted /none/weights {\n reload 0s\n }\n whoami\n}"), /no such file/);
});
