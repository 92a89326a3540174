import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseFieldSelector, selectsFields } from "./fields.ts";
import { parseLabelSelector, requirementsOf, SelectorError, selects } from "./labels.ts";

const web = { app: "web", tier: "front", weight: "7" };

test("label selectors select by equality, sets, presence and order", () => {
  const yes = [
    "",
    "app=web",
    "app==web",
    "app!=db",
    "missing!=x",
    "app in (db, web)",
    "tier notin (back)",
    "app,!old",
    "weight>6",
    "weight<8",
    "app=web,tier=front",
    "missing notin (x)",
  ];
  const no = ["app=db", "!app", "missing", "app in (db)", "weight>7", "app>1", "app=web,tier=back", "app="];
  for (const text of yes) assert.ok(selects(parseLabelSelector(text), web), text);
  for (const text of no) assert.ok(!selects(parseLabelSelector(text), web), text);
});

test("label selectors that cannot be read are refused", () => {
  for (const text of [",", "a=b,", "a in b", "a in (b", "=x", "a b", "a=b=c", "a>x", "a/b/c=1", "!", "a in ()x"]) {
    assert.throws(() => parseLabelSelector(text), SelectorError, text);
  }
});

test("a label selector of any text is parsed or refused", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[ab=!,()<> in]{0,12}$/)), (text) => {
      try {
        parseLabelSelector(text);
      } catch (error) {
        assert.ok(error instanceof SelectorError);
      }
    }),
  );
});

test("selector objects mean the same as their text", () => {
  const selector = {
    matchLabels: { app: "web" },
    matchExpressions: [
      { key: "tier", operator: "In", values: ["front"] },
      { key: "old", operator: "DoesNotExist" },
    ],
  };
  assert.deepEqual(requirementsOf(selector), parseLabelSelector("app=web,tier in (front),!old"));
});

test("field selectors look at the fields that a kind supports, and no other", () => {
  const pod = { metadata: { name: "a" }, spec: {}, status: { phase: "Running" } };
  const fields = ["metadata.name", "status.phase", "spec.nodeName", "spec.unschedulable"];
  const matches = (text: string) => selectsFields(parseFieldSelector(text, fields), pod);
  assert.ok(matches("metadata.name=a,status.phase!=Failed"));
  assert.ok(matches("spec.nodeName="));
  assert.ok(matches("spec.unschedulable=false"));
  assert.ok(!matches("metadata.name=b"));
  assert.throws(() => matches("spec.x=1"), /field label not supported: spec.x/);
  assert.throws(() => matches("metadata.name"), /can't understand/);
  assert.deepEqual(parseFieldSelector("metadata.name=a\\,b", fields), [
    { path: "metadata.name", equal: true, value: "a,b" },
  ]);
});
