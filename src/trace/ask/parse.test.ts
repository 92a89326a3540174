import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseFrom, parseTo } from "./index.ts";

test("ends of a way are read as people write them", () => {
  const to: readonly (readonly [string, unknown])[] = [
    ["10.96.0.10:53/udp", { end: { kind: "address", address: "10.96.0.10" }, port: 53, protocol: "udp" }],
    ["[fd00::1]:80", { end: { kind: "address", address: "fd00::1" }, port: 80 }],
    ["10.0.0.1/icmp", { end: { kind: "address", address: "10.0.0.1" }, protocol: "icmp" }],
    ["fd00::1/ICMP", { end: { kind: "address", address: "fd00::1" }, protocol: "icmp" }],
    ["shop/web:http", { end: { kind: "any", namespace: "shop", name: "web" }, port: "http" }],
    ["web:80", { end: { kind: "any", name: "web" }, port: 80 }],
    ["svc/shop/web", { end: { kind: "service", namespace: "shop", name: "web" } }],
    ["pod/web-1:8080/tcp", { end: { kind: "pod", name: "web-1" }, port: 8080, protocol: "tcp" }],
    ["node/node1.example.com:30080", { end: { kind: "node", name: "node1.example.com" }, port: 30080 }],
    ["web.shop.svc.cluster.local:80", { end: { kind: "service", namespace: "shop", name: "web" }, port: 80 }],
  ];
  for (const [text, wanted] of to) assert.deepEqual(parseTo(text), wanted, text);
  const from: readonly (readonly [string, unknown])[] = [
    ["node", { kind: "node" }],
    ["outside", { kind: "outside" }],
    ["[fd00::1]", { kind: "address", address: "fd00::1" }],
    ["shop/web-1", { kind: "any", namespace: "shop", name: "web-1" }],
    ["node/node1", { kind: "node", name: "node1" }],
    ["pod/node", { kind: "pod", name: "node" }],
  ];
  for (const [text, wanted] of from) assert.deepEqual(parseFrom(text), wanted, text);
});

test("what is no end of a way is refused", () => {
  for (const text of [
    "",
    ":80",
    "web:",
    "web:0",
    "web:70000",
    "a/b/c/d",
    "node/a/b",
    "Web",
    "10.0.0.1:0",
    "web:-x",
    "../x",
  ]) {
    assert.equal(parseTo(text), undefined, text);
  }
  for (const text of ["", "a/b/c", "svc/shop/web", "web:80", "-a"]) assert.equal(parseFrom(text), undefined, text);
});

test("any text is read or refused, and nothing else happens", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      parseFrom(text);
      parseTo(text);
    }),
  );
});
