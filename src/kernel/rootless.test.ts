import assert from "node:assert/strict";
import { test } from "node:test";
import { remedy } from "./rootless.ts";

test("what forbids user namespaces is named, with the command that allows them", () => {
  const with_ = (settings: Readonly<Record<string, string>>) => remedy((name) => settings[name]);
  assert.match(
    with_({ "user/max_user_namespaces": "0" }),
    /allows none: sudo sysctl -w user\.max_user_namespaces=10000/,
  );
  assert.match(with_({ "user/max_user_namespaces": "9", "user/max_net_namespaces": "0" }), /user\.max_net_namespaces=/);
  assert.match(with_({ "kernel/unprivileged_userns_clone": "0" }), /sysctl -w kernel\.unprivileged_userns_clone=1/);
  assert.match(
    with_({ "user/max_user_namespaces": "9", "kernel/apparmor_restrict_unprivileged_userns": "1" }),
    /sysctl -w kernel\.apparmor_restrict_unprivileged_userns=0/,
  );
  assert.match(with_({ "kernel/unprivileged_userns_clone": "1" }), /container/);
});
