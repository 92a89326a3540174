import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { type DnsProcess, freePort, run, startDns } from "./support.ts";

const zone = `$TTL 60
@ SOA ns admin 1 3600 600 86400 30
@ NS ns
@ MX 10 Mail
ns A 192.0.2.1
www A 192.0.2.2
www A 192.0.2.3
alias CNAME www
srv SRV 1 2 3 Www
*.wild TXT "x"
below NS ns.below
other NS ns.other
ns.other A 192.0.2.6
ns.below A 192.0.2.4
`;
const algorithms = ["ECDSAP256SHA256", "ED25519", "RSASHA256"] as const;

let server: DnsProcess;
let port: number;
const anchors = new Map<string, string>();

before(async () => {
  port = await freePort();
  server = await startDns({ Corefile: `.:${port} {\n bind 127.0.0.1\n whoami\n}`, db: zone });
  const blocks = algorithms.map((algorithm) => {
    const name = `${algorithm.toLowerCase()}.test`;
    const make = (...args: string[]) =>
      run("dnssec-keygen", "-q", "-K", server.directory, "-a", algorithm, ...args, name).trim();
    const bits = algorithm === "RSASHA256" ? ["-b", "2048"] : [];
    const [zoneKey, keyKey] = [make(...bits), make(...bits, "-f", "KSK")];
    const [, flags = "", protocol = "", number = "", key = ""] =
      /DNSKEY (\d+) (\d+) (\d+) (.*)/.exec(readFileSync(`${server.directory}/${keyKey}.key`, "utf8")) ?? [];
    anchors.set(name, `${server.directory}/${name}.anchor`);
    server.write(
      `${name}.anchor`,
      `trust-anchors { "${name}." static-key ${flags} ${protocol} ${number} "${key}"; };\n`,
    );
    const below = `below.${name}:${port} {\n bind 127.0.0.1\n template IN A {\n answer "{{ .Name }} 60 A 192.0.2.5"\n }\n}`;
    return `${name}:${port} {\n bind 127.0.0.1\n file db\n dnssec {\n key file ${zoneKey} ${keyKey}\n }\n}\n${below}`;
  });
  server.write("Corefile", blocks.join("\n"));
  server.child.kill("SIGUSR1");
  await server.until(/Reloading complete|reload failed/);
});
after(() => server.stop());

for (const algorithm of algorithms) {
  const name = `${algorithm.toLowerCase()}.test`;
  test(`delv validates answers and denials that are signed with ${algorithm}`, () => {
    const delv = (question: string, type: string) =>
      run("delv", "@127.0.0.1", "-p", String(port), "-a", anchors.get(name) ?? "", `+root=${name}`, question, type);
    const rows: readonly (readonly [string, string, RegExp])[] = [
      [`www.${name}`, "A", /^; fully validated\n.*192\.0\.2\.2\n.*192\.0\.2\.3/m],
      [`WWW.${name}`, "A", /^; fully validated/m],
      [name, "MX", /^; fully validated\n.*Mail/m],
      [name, "SOA", /^; fully validated/m],
      [name, "DNSKEY", /^; fully validated/m],
      [`alias.${name}`, "A", /^; fully validated\n.*CNAME/m],
      [`srv.${name}`, "SRV", /^; fully validated/m],
      [`a.wild.${name}`, "TXT", /^; fully validated/m],
      [`www.${name}`, "AAAA", /negative response, fully validated/],
      [`nothing.${name}`, "A", /negative response, fully validated/],
      [`www.${name}`, "DS", /negative response, fully validated/],
      [`a.below.${name}`, "A", /^; unsigned answer\n.*192\.0\.2\.5/m],
    ];
    // Which names there are does not depend on the algorithm.
    const asked = algorithm === algorithms[0] ? rows : rows.slice(-2);
    for (const [question, type, expected] of asked) assert.match(delv(question, type), expected, `${question} ${type}`);
  });
}

test("a referral to a zone without signatures proves that there are none, and leaves its addresses unsigned", () => {
  const zoneName = `${algorithms[0].toLowerCase()}.test`;
  const records = run(
    "dig",
    ...["@127.0.0.1", "-p", String(port), "+dnssec", "+norecurse", "+noall", "+authority", "+additional"],
    ...[`a.other.${zoneName}`, "A"],
  );
  assert.match(
    records,
    new RegExp(`^other\\.${zoneName}\\.\\s.*NSEC\\s\\\\000\\.other\\.${zoneName}\\. NS RRSIG NSEC$`, "m"),
  );
  assert.match(records, /RRSIG\sNSEC /);
  assert.match(records, /^ns\.other\..*192\.0\.2\.6$/m);
  assert.doesNotMatch(records, /RRSIG\s(A|NS) /);
});

test("clients that do not ask for signatures get none", () => {
  const answer = run(
    "dig",
    "@127.0.0.1",
    "-p",
    String(port),
    "+noall",
    "+answer",
    "+authority",
    `www.${algorithms[0].toLowerCase()}.test`,
  );
  assert.doesNotMatch(answer, /RRSIG/);
});
