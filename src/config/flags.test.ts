import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  durationFlag,
  formatFlags,
  intFlag,
  parseFlags,
  stringFlag,
  stringsFlag,
  switchesFlag,
  switchFlag,
} from "./flags.ts";
import { InvalidInputError } from "./problems.ts";

const flags = {
  conf: stringFlag("Corefile", { help: "File." }),
  quiet: switchFlag(false, { help: "Say nothing.", shorthand: "q" }),
  v: intFlag(0, { help: "Verbosity.", shorthand: "v" }),
  wait: durationFlag(1000, { help: "Wait." }),
  name: stringsFlag(["a"], { help: "Names." }),
  "feature-gates": switchesFlag({ help: "Features.", deprecated: "use others" }),
};

const parse = (args: string, style?: "pflag" | "go") => parseFlags(flags, args.split(" ").filter(Boolean), style);

test("every way to write a flag in GNU style is understood", () => {
  for (const args of ["-v 2", "-v=2", "-v2", "--v=2", "--v 2"]) assert.equal(parse(args).values.v, 2, args);
  for (const args of ["-q", "--quiet", "--quiet=true", "--quiet=1"]) assert.equal(parse(args).values.quiet, true, args);
  assert.equal(parse("--quiet=false").values.quiet, false);
  assert.deepEqual(parse("a --quiet b -- --v").rest, ["a", "b", "--v"]);
  assert.deepEqual(parse("--feature_gates=A=true,B=false --feature-gates C=true").values["feature-gates"], {
    A: true,
    B: false,
    C: true,
  });
  assert.deepEqual(parse("--name=x,y --name=z").values.name, ["x", "y", "z"]);
  assert.deepEqual(parse("").values.name, ["a"]);
  assert.equal(parse("--conf=").values.conf, "");
  assert.deepEqual([...parse("--wait 2s -q").given], ["wait", "quiet"]);
});

test("Go's own style has one dash and stops at the first argument", () => {
  const { values, rest } = parse("-conf x --quiet -wait=1m30s rest -v 3", "go");
  assert.equal(values.conf, "x");
  assert.equal(values.quiet, true);
  assert.equal(values.wait, 90_000);
  assert.deepEqual(rest, ["rest", "-v", "3"]);
  assert.throws(
    () => parse("-feature_gates A=true", "go"),
    /unknown flag -feature_gates, did you mean -feature-gates\?/,
  );
  const help = { help: switchFlag(false, { help: "Explain." }) };
  assert.equal(parseFlags(help, ["-h"], "go").values.help, true);
});

test("everything wrong is reported at once", () => {
  assert.throws(
    () => parse("--nope --v=x -z --wait"),
    new InvalidInputError("command line", [
      "unknown flag --nope, did you mean --name?",
      'invalid argument "x" for --v: must be of the form int',
      "unknown flag -z",
      "--wait needs an argument",
    ]),
  );
});

test("a deprecated flag warns once", () => {
  assert.deepEqual(parse("--feature-gates=A=true --feature-gates=B=true").warnings, [
    "flag --feature-gates is deprecated: use others",
  ]);
});

test("help shows kinds, defaults and is wrapped", () => {
  const help = formatFlags(
    { wait: flags.wait, quiet: { ...flags.quiet, help: "word ".repeat(30).trim() } },
    "pflag",
    60,
  );
  assert.match(help, /^ {2}-q, --quiet\n {8}word/);
  assert.match(help, / {2}--wait duration\n {8}Wait\. \(default 1s\)\n$/);
  assert.ok(help.split("\n").every((line) => line.length <= 60));
});

test("no command line makes the parser fail otherwise than by refusing it", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.constantFrom("pflag" as const, "go" as const), (args, style) => {
      try {
        parseFlags(flags, args, style);
      } catch (error) {
        assert.ok(error instanceof InvalidInputError);
      }
    }),
  );
});
