/** Findings as people read them: commands are whole and safe to copy, notes are no faults. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { command, type Finding } from "./finding.ts";
import { formatFinding, formatReport } from "./report.ts";

const style = { colour: false, width: 60 };
const finding: Finding = {
  check: "stale-conntrack",
  severity: "error",
  subject: "service shop/dns",
  message: "Packets to service shop/dns are still sent to 10.244.9.9, which is no endpoint of it any more.",
  remedy: "have the connection tracker forget them; the next packet is translated anew",
  run: ["conntrack -D -p udp --orig-dst 10.96.0.10 --orig-port-dst 53 --reply-src 10.244.9.9"],
};

test("sentences are folded, and a command stands whole on a line of its own", () => {
  assert.equal(
    formatFinding(finding, style),
    `ERROR service shop/dns
    Packets to service shop/dns are still sent to
    10.244.9.9, which is no endpoint of it any more.
    Do: have the connection tracker forget them; the next
    packet is translated anew
        conntrack -D -p udp --orig-dst 10.96.0.10 --orig-port-dst 53 --reply-src 10.244.9.9
    See: docs/check.md#stale-conntrack
`,
  );
});

test("the last line counts what there is, and notes alone are nothing found", () => {
  const last = (...severities: Finding["severity"][]) =>
    formatReport(
      "node1",
      severities.map((severity) => ({ ...finding, severity })),
      style,
    )
      .trimEnd()
      .split("\n")
      .at(-1);
  assert.equal(last(), "node1: nothing found");
  assert.equal(last("note"), "node1: nothing found, 1 note");
  assert.equal(last("error", "warning", "warning"), "node1: 1 error, 2 warnings");
});

test("what somebody called a link counts as one word of a command", () => {
  assert.equal(command`ip link set ${"eth0.5@if2"} mtu ${1450}`, "ip link set eth0.5@if2 mtu 1450");
  assert.equal(command`ip link del ${"a;reboot"}`, "ip link del 'a;reboot'");
  assert.equal(command`ip link del ${"it's $(x)"}`, "ip link del 'it'\\''s $(x)'");
});

test("control characters of names do not reach the terminal", () => {
  const text = formatFinding({ ...finding, subject: "link \x1b[2J", run: ["ip link del '\x1b[2J'"] }, style);
  assert.ok(!text.includes("\x1b"));
});
