/**
 * The table of plugins. Its order is that of the chain: that of CoreDNS, and the same whatever the order of directives
 * in a Corefile. A plugin that stands earlier sees queries first and replies last. Each is loaded when a Corefile has
 * its directive.
 */
import type { PluginEntry } from "../server/plugin.ts";

/** All plugins, in the order of the chain. */
export const plugins: readonly PluginEntry[] = [
  // Has no place in the chain; others want to know its name when they are set up.
  { name: "view", load: async () => (await import("./view/view.ts")).view },
  { name: "root", load: async () => (await import("./root/root.ts")).root },
  { name: "metadata", load: async () => (await import("./metadata/metadata.ts")).metadata },
  { name: "cancel", load: async () => (await import("./cancel/cancel.ts")).cancel },
  { name: "timeouts", load: async () => (await import("./timeouts/timeouts.ts")).timeouts },
  { name: "multisocket", load: async () => (await import("./multisocket/multisocket.ts")).multisocket },
  { name: "reload", load: async () => (await import("./reload/reload.ts")).reload },
  { name: "nsid", load: async () => (await import("./nsid/nsid.ts")).nsid },
  { name: "bufsize", load: async () => (await import("./bufsize/bufsize.ts")).bufsize },
  { name: "bind", load: async () => (await import("./bind/bind.ts")).bind },
  { name: "debug", load: async () => (await import("./debug/debug.ts")).debug },
  { name: "ready", load: async () => (await import("./ready/ready.ts")).ready },
  { name: "health", load: async () => (await import("./health/health.ts")).health },
  { name: "prometheus", load: async () => (await import("./prometheus/prometheus.ts")).prometheus },
  { name: "errors", load: async () => (await import("./errors/errors.ts")).errors },
  { name: "log", load: async () => (await import("./log/log.ts")).log },
  { name: "local", load: async () => (await import("./local/local.ts")).local },
  { name: "dns64", load: async () => (await import("./dns64/dns64.ts")).dns64 },
  { name: "any", load: async () => (await import("./any/any.ts")).any },
  { name: "chaos", load: async () => (await import("./chaos/chaos.ts")).chaos },
  { name: "loadbalance", load: async () => (await import("./loadbalance/loadbalance.ts")).loadbalance },
  { name: "rewrite", load: async () => (await import("./rewrite/rewrite.ts")).rewrite },
  { name: "autopath", load: async () => (await import("./autopath/autopath.ts")).autopath },
  { name: "acl", load: async () => (await import("./acl/acl.ts")).acl },
  { name: "cache", load: async () => (await import("./cache/cache.ts")).cache },
  { name: "header", load: async () => (await import("./header/header.ts")).header },
  { name: "dnssec", load: async () => (await import("./dnssec/dnssec.ts")).dnssec },
  { name: "tls", load: async () => (await import("./tls/tls.ts")).tls },
  { name: "minimal", load: async () => (await import("./minimal/minimal.ts")).minimal },
  { name: "template", load: async () => (await import("./template/template.ts")).template },
  { name: "transfer", load: async () => (await import("./transfer/transfer.ts")).transfer },
  { name: "hosts", load: async () => (await import("./hosts/hosts.ts")).hosts },
  { name: "k8s_external", load: async () => (await import("./k8s_external/k8s_external.ts")).k8sExternal },
  { name: "kubernetes", load: async () => (await import("./kubernetes/kubernetes.ts")).kubernetes },
  { name: "file", load: async () => (await import("./file/file.ts")).file },
  { name: "auto", load: async () => (await import("./auto/auto.ts")).auto },
  { name: "secondary", load: async () => (await import("./secondary/secondary.ts")).secondary },
  { name: "etcd", load: async () => (await import("./etcd/etcd.ts")).etcd },
  { name: "loop", load: async () => (await import("./loop/loop.ts")).loop },
  { name: "forward", load: async () => (await import("./forward/forward.ts")).forward },
  // The old name of forward.
  { name: "proxy", load: async () => (await import("./forward/forward.ts")).proxy },
  { name: "grpc", load: async () => (await import("./grpc/grpc.ts")).grpc },
  { name: "erratic", load: async () => (await import("./erratic/erratic.ts")).erratic },
  { name: "whoami", load: async () => (await import("./whoami/whoami.ts")).whoami },
];
