import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { errnoName, errnoNumber, isSystemError, SystemError } from "./errno.ts";

test("error numbers have the names of the manual pages", () => {
  assert.deepEqual([1, 2, 11, 17, 85, 95, 105, 4095].map(errnoName), [
    "EPERM",
    "ENOENT",
    "EAGAIN",
    "EEXIST",
    "ERESTART",
    "EOPNOTSUPP",
    "ENOBUFS",
    "E4095",
  ]);
  assert.deepEqual(["EPERM", "ERESTART", "ENOTHING"].map(errnoNumber), [1, 85, undefined]);
});

test("a failed system call says what failed, on what, and what to do", () => {
  const error = new SystemError("setns", 1, "/run/netns/a");
  assert.equal(error.code, "EPERM");
  assert.match(error.message, /^setns \/run\/netns\/a: EPERM \(not permitted: run as root/);
  assert.ok(isSystemError(error, "ENOENT", "EPERM"));
  assert.equal(isSystemError(error, "ENOENT"), false);
  assert.equal(isSystemError("EPERM", "EPERM"), false);
});

test("errors of Node's own system calls are recognised as well", () => {
  assert.throws(
    () => readFileSync("/nowhere/at/all"),
    (error) => isSystemError(error, "ENOENT"),
  );
});
