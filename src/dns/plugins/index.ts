/**
 * The table of plugins. Its order is that of the chain: that of CoreDNS, and the same whatever the order of directives
 * in a Corefile. A plugin that stands earlier sees queries first and replies last.
 */
import type { Plugin } from "../server/plugin.ts";
import { acl } from "./acl/acl.ts";
import { any } from "./any/any.ts";
import { auto } from "./auto/auto.ts";
import { autopath } from "./autopath/autopath.ts";
import { bind } from "./bind/bind.ts";
import { bufsize } from "./bufsize/bufsize.ts";
import { cache } from "./cache/cache.ts";
import { cancel } from "./cancel/cancel.ts";
import { chaos } from "./chaos/chaos.ts";
import { debug } from "./debug/debug.ts";
import { dns64 } from "./dns64/dns64.ts";
import { dnssec } from "./dnssec/dnssec.ts";
import { erratic } from "./erratic/erratic.ts";
import { errors } from "./errors/errors.ts";
import { etcd } from "./etcd/etcd.ts";
import { file } from "./file/file.ts";
import { forward, proxy } from "./forward/forward.ts";
import { grpc } from "./grpc/grpc.ts";
import { header } from "./header/header.ts";
import { health } from "./health/health.ts";
import { hosts } from "./hosts/hosts.ts";
import { k8sExternal } from "./k8s_external/k8s_external.ts";
import { kubernetes } from "./kubernetes/kubernetes.ts";
import { loadbalance } from "./loadbalance/loadbalance.ts";
import { local } from "./local/local.ts";
import { log } from "./log/log.ts";
import { loop } from "./loop/loop.ts";
import { metadata } from "./metadata/metadata.ts";
import { minimal } from "./minimal/minimal.ts";
import { multisocket } from "./multisocket/multisocket.ts";
import { nsid } from "./nsid/nsid.ts";
import { prometheus } from "./prometheus/prometheus.ts";
import { ready } from "./ready/ready.ts";
import { reload } from "./reload/reload.ts";
import { rewrite } from "./rewrite/rewrite.ts";
import { root } from "./root/root.ts";
import { secondary } from "./secondary/secondary.ts";
import { template } from "./template/template.ts";
import { timeouts } from "./timeouts/timeouts.ts";
import { tls } from "./tls/tls.ts";
import { transfer } from "./transfer/transfer.ts";
import { view } from "./view/view.ts";
import { whoami } from "./whoami/whoami.ts";

/** All plugins, in the order of the chain. */
export const plugins: readonly Plugin[] = [
  // Has no place in the chain; others want to know its name when they are set up.
  view,
  root,
  metadata,
  cancel,
  timeouts,
  multisocket,
  reload,
  nsid,
  bufsize,
  bind,
  debug,
  ready,
  health,
  prometheus,
  errors,
  log,
  local,
  dns64,
  any,
  chaos,
  loadbalance,
  rewrite,
  autopath,
  acl,
  cache,
  header,
  dnssec,
  tls,
  minimal,
  template,
  transfer,
  hosts,
  k8sExternal,
  kubernetes,
  file,
  auto,
  secondary,
  etcd,
  loop,
  forward,
  proxy,
  grpc,
  erratic,
  whoami,
];
