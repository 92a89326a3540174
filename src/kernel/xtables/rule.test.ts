import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { canonicalRule, quoteWord, splitRule } from "./rule.ts";

test("a rule splits into its words, quoted ones whole", () => {
  assert.deepEqual(splitRule('-m comment --comment "a b"  -j\tDROP'), [
    "-m",
    "comment",
    "--comment",
    "a b",
    "-j",
    "DROP",
  ]);
  assert.deepEqual(splitRule('--comment "say \\"hi\\" \\\\" ""'), ["--comment", 'say "hi" \\', ""]);
  assert.deepEqual(splitRule(""), []);
  assert.throws(() => splitRule('-m comment --comment "open'), SyntaxError);
  assert.throws(() => splitRule('"\\'), SyntaxError);
});

test("any words survive quoting and splitting", () => {
  const word = fc.string().filter((text) => !/[\r\n\f\v\u00a0\u2028\u2029\ufeff]/.test(text));
  fc.assert(
    fc.property(fc.array(word), (words) => {
      assert.deepEqual(splitRule(words.map(quoteWord).join(" ")), words);
    }),
  );
});

test("what is written and what iptables-save makes of it mean the same", () => {
  const pairs = [
    [
      '-m comment --comment "ns/s:p cluster IP" -m tcp -p tcp -d 1.2.3.4 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ',
      '! -s 10.0.0.0/8 -d 1.2.3.4/32 -p tcp -m comment --comment "ns/s:p cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ',
    ],
    ["-d fd00::1 -j REJECT", "-d fd00::1/128 -j REJECT --reject-with icmp6-port-unreachable"],
    ["-j MARK --xor-mark 0x00004000", "-j MARK --set-xmark 0x4000/0x0"],
    ["-j MARK --or-mark 0x00004000", "-j MARK --set-xmark 0x4000/0x4000"],
    ["-m mark ! --mark 0x00004000/0x00004000 -j RETURN", "-m mark ! --mark 0x4000/0x4000 -j RETURN"],
    [
      "-m statistic --mode random --probability 0.3333333333 -j A",
      "-m statistic --mode random --probability 0.33333333349 -j A",
    ],
    [
      "-m recent --name A --rcheck --seconds 5 --reap -j A",
      "-m recent --rcheck --seconds 5 --reap --name A --mask 255.255.255.255 --rsource -j A",
    ],
  ] as const;
  for (const [written, saved] of pairs) assert.equal(canonicalRule(written), canonicalRule(saved));
});

test("each probability that a service of up to 5,000 endpoints has is the same after the kernel rounded it", () => {
  const rule = (probability: string) => canonicalRule(`-m statistic --mode random --probability ${probability} -j A`);
  const seen = new Set<string>();
  for (let n = 1; n <= 5000; n++) {
    const written = (1 / n).toFixed(10);
    // As iptables reads it, in 31 bits, and as it prints it.
    const saved = (Math.round(Number(written) * 2 ** 31) / 2 ** 31).toFixed(11);
    assert.equal(rule(written), rule(saved), `1/${n}`);
    seen.add(rule(written));
  }
  assert.equal(seen.size, 5000);
});

test("rules that differ in anything that counts are not the same", () => {
  const rules = [
    "-s 10.0.0.1 -j A",
    "-d 10.0.0.1 -j A",
    "! -s 10.0.0.1 -j A",
    "-s 10.0.0.1/31 -j A",
    "-s 10.0.0.1 -j B",
    "-s 10.0.0.1 -g A",
    "-s 10.0.0.1 -p tcp -j A",
    "-m statistic --mode random --probability 0.5000000000 -j A",
    "-m statistic --mode random --probability 0.3333333333 -j A",
    "-j REJECT",
    "-j REJECT --reject-with tcp-reset",
  ];
  assert.equal(new Set(rules.map(canonicalRule)).size, rules.length);
});
