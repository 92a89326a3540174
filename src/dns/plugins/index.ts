/**
 * All plugins, in the order of the chain: the order is that of CoreDNS, and the same whatever the order of directives
 * in a Corefile. A plugin that stands earlier sees queries first and replies last.
 */
import type { Plugin } from "../server/plugin.ts";
import { bind } from "./bind/bind.ts";
import { cache } from "./cache/cache.ts";
import { debug } from "./debug/debug.ts";
import { errors } from "./errors/errors.ts";
import { forward, proxy } from "./forward/forward.ts";
import { health } from "./health/health.ts";
import { kubernetes } from "./kubernetes/kubernetes.ts";
import { loadbalance } from "./loadbalance/loadbalance.ts";
import { log } from "./log/log.ts";
import { loop } from "./loop/loop.ts";
import { prometheus } from "./prometheus/prometheus.ts";
import { ready } from "./ready/ready.ts";
import { reload } from "./reload/reload.ts";
import { whoami } from "./whoami/whoami.ts";

/**
 * The full order, with the names of plugins that are still to come:
 * root metadata cancel timeouts multisocket reload nsid bufsize bind debug ready health prometheus errors log local
 * dns64 any chaos loadbalance rewrite autopath acl cache header dnssec tls minimal template transfer hosts k8s_external
 * kubernetes file auto secondary etcd loop forward grpc erratic whoami view
 */
export const plugins: readonly Plugin[] = [
  reload,
  bind,
  debug,
  ready,
  health,
  prometheus,
  errors,
  log,
  loadbalance,
  cache,
  kubernetes,
  loop,
  forward,
  proxy,
  whoami,
];
