import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { namespace } from "../kinds/cluster.ts";
import { configMap } from "../kinds/config.ts";
import { kinds } from "../kinds/index.ts";
import { pod } from "../kinds/pod.ts";
import { service } from "../kinds/service.ts";
import type { Schema } from "../schema/schema.ts";
import { decodeProtobuf } from "./decode.ts";
import { fieldNumbers } from "./tags.ts";
import { readParts, signed, WireError } from "./wire.ts";

/** A field with bytes; short ones only. */
const field = (number: number, ...contents: readonly Uint8Array[]) => {
  const content = Buffer.concat(contents);
  return Buffer.concat([Uint8Array.of(number * 8 + 2, content.length), content]);
};
const text = (number: number, value: string) => field(number, Buffer.from(value));
const number = (field: number, value: number) => Uint8Array.of(field * 8, value);
const object = (kind: string, raw: Uint8Array) =>
  Buffer.concat([Buffer.from("k8s\0"), field(1, text(1, "v1"), text(2, kind)), field(2, raw)]);

test("objects are read by the numbers of their fields, without the zeros that mean nothing", () => {
  const port = Buffer.concat([
    text(1, "http"),
    text(2, "TCP"),
    number(3, 80),
    field(4, number(1, 1), number(2, 0), text(3, "web")),
    number(5, 0),
  ]);
  const spec = Buffer.concat([
    field(1, port),
    field(2, text(1, "app"), text(2, "web")),
    text(3, ""),
    text(4, "NodePort"),
  ]);
  const raw = Buffer.concat([field(1, text(1, "web"), field(8)), field(2, spec), field(3, field(1))]);
  assert.deepEqual(decodeProtobuf(service.schema, object("Service", raw)), {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web" },
    spec: {
      ports: [{ name: "http", protocol: "TCP", port: 80, targetPort: "web" }],
      selector: { app: "web" },
      type: "NodePort",
    },
    status: { loadBalancer: {} },
  });
  const data = object(
    "ConfigMap",
    Buffer.concat([
      field(1, text(1, "c")),
      field(2, text(1, "k"), text(2, "v")),
      field(2, text(1, "empty"), text(2, "")),
    ]),
  );
  assert.deepEqual(decodeProtobuf(configMap.schema, data).data, { k: "v", empty: "" });
});

test("volumes of a pod are read, as kubectl debug sends them for a node", () => {
  const host = Buffer.concat([text(1, "host-root"), field(2, field(1, text(1, "/"), text(2, "")))]);
  const secret = Buffer.concat([text(1, "secret"), field(2, field(6, text(1, "s"), number(3, 0)))]);
  const spec = Buffer.concat([field(1, host), field(1, secret), field(1, text(1, "empty"), field(2, field(2)))]);
  const read = decodeProtobuf(pod.schema, object("Pod", field(2, spec)));
  assert.deepEqual(read.spec, {
    volumes: [
      { name: "host-root", hostPath: { path: "/", type: "" } },
      { name: "secret", secret: { secretName: "s", defaultMode: 0 } },
      { name: "empty", emptyDir: {} },
    ],
  });
});

test("a number of 64 bits keeps its sign", () => {
  assert.equal(signed(2n ** 64n - 1n), -1);
  assert.deepEqual(readParts(Uint8Array.of(8, 0x96, 1)), [{ field: 1, value: 150n }]);
});

test("any bytes are read or refused", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.uint8Array({ maxLength: 60 }).map((rest) => Buffer.concat([Buffer.from("k8s\0"), rest])),
  );
  fc.assert(
    fc.property(fc.constantFrom(...kinds), bytes, (kind, input) => {
      try {
        decodeProtobuf(kind.schema, input);
      } catch (error) {
        assert.ok(error instanceof WireError);
      }
    }),
  );
  assert.throws(() => decodeProtobuf(namespace.schema, object("Namespace", Uint8Array.of(10, 9))), WireError);
});

test("every struct of every kind has its numbers, each once, but for definitions, which clients send in JSON", () => {
  const visit = (schema: Schema): void => {
    if (schema.type === "list") visit(schema.items);
    else if (schema.type === "map") visit(schema.values);
    else if (schema.type === "struct") {
      const entries = fieldNumbers[schema.name]?.split(" ").map((item) => Number(item.split(":")[0]));
      assert.ok(entries !== undefined, `${schema.name} has no numbers`);
      assert.equal(new Set(entries).size, entries.length, schema.name);
      for (const member of Object.values(schema.fields)) visit(member.schema);
    }
  };
  for (const kind of kinds) if (kind.kind !== "CustomResourceDefinition") visit(kind.schema);
});
