import assert from "node:assert/strict";
import test from "node:test";
import { LogWriter } from "../../telemetry/log.ts";
import { Registry } from "../../telemetry/metrics.ts";
import { defaultConfiguration } from "../config/defaults.ts";
import type { KubeProxyConfiguration } from "../config/types.ts";
import { registerBuildInfo, registerFeatures, registerProxyMetrics } from "./metrics.ts";
import { statusPages } from "./pages.ts";

function setUp(config: Partial<KubeProxyConfiguration> = {}) {
  const log = new LogWriter({ clock: { now: () => 0 }, pid: 1, write: () => {} });
  const registry = new Registry();
  registerProxyMetrics(registry);
  registerBuildInfo(registry, "0.1.0");
  registerFeatures(registry)({});
  const pages = statusPages({
    registry,
    slis: new Registry(),
    config: () => ({ ...defaultConfiguration, ...config }),
    mode: () => "nftables",
    flags: { v: "2", config: "" },
    log,
    version: "0.1.0",
    now: () => 3_723_000,
    started: 0,
  });
  const request = async (path: string, method = "GET", body = "") =>
    await pages({ method, path, query: new URLSearchParams(), headers: {}, body });
  return { log, request };
}

test("the mode, the configuration and the flags can be read", async () => {
  const { request } = setUp();
  assert.equal((await request("/healthz")).body, "ok");
  const mode = await request("/proxyMode");
  assert.equal(mode.body, "nftables");
  assert.equal(mode.headers?.["Content-Type"], "text/plain; charset=utf-8");
  const configz = JSON.parse((await request("/configz")).body);
  assert.equal(configz["kubeproxy.config.k8s.io"].iptables.syncPeriod, "30s");
  assert.match((await request("/flagz")).body, /\n\nconfig=\nv=2\n$/);
  const status = (await request("/statusz")).body;
  assert.match(status, /^Up: 1 hr 2 min 3 sec$/m);
  assert.match(status, /^Paths: \/configz \/flagz \/healthz \/metrics \/metrics\/slis \/proxyMode \/statusz$/m);
});

test("metrics have Kubernetes' names and stability", async () => {
  const { body } = await setUp().request("/metrics");
  assert.match(body, /^# HELP kubeproxy_sync_proxy_rules_service_changes_pending \[ALPHA\] /m);
  assert.match(body, /^kubernetes_build_info\{git_version="v0\.1\.0-portolan",/m);
  assert.match(body, /^kubernetes_feature_enabled\{name="NFTablesProxyMode",stage=""\} 1$/m);
});

test("debug pages need profiling", async () => {
  assert.equal((await setUp().request("/debug/flags/v", "PUT", "5")).status, 404);
  const { request, log } = setUp({ enableProfiling: true });
  assert.equal((await request("/debug/flags/v", "PUT", "5")).body, "successfully set logging verbosity to 5");
  assert.equal(log.options.verbosity, 5);
  assert.equal((await request("/debug/flags/v", "PUT", "x")).status, 400);
  assert.equal((await request("/debug/flags/v")).status, 405);
});

test("statusz and flagz go with their feature gates", async () => {
  const { request } = setUp({ featureGates: { ComponentFlagz: false, ComponentStatusz: false } });
  assert.equal((await request("/flagz")).status, 404);
  assert.equal((await request("/statusz")).status, 404);
});
