import { type Check, command, type Finding } from "../finding.ts";

type Found = Omit<Finding, "check">;

/** Seconds that a process may hold the lock, and that a change may wait. */
const patience = { lock: 10, sync: 30 };

/** A proxy that does not get its rules into the kernel. */
export const proxyLag: Check = {
  name: "proxy-lag",
  about: "Whether the proxy applies changes in time, and nobody keeps the lock of iptables from it.",
  seen: [
    "kubernetes/kubernetes#48107",
    "flannel-io/flannel#933",
    "aws/amazon-vpc-cni-k8s#2948",
    "kubernetes/kubernetes#96018",
  ],
  run({ running: { lock, sync }, snapshot }) {
    const found: Found[] = [];
    if (lock !== undefined && lock.age > patience.lock) {
      found.push({
        severity: "error",
        subject: "/run/xtables.lock",
        message: `Process ${lock.processId} (${lock.processName}) holds the lock of iptables, and runs for ${Math.round(lock.age)} s: no other program changes rules of iptables-legacy meanwhile, proxies of mode iptables and network plugins among them.`,
        remedy: "see what it does, and end it if it hangs",
        run: [command`ps -o pid,etime,args ${lock.processId}`, command`cat /proc/${lock.processId}/stack`],
      });
    }
    const now = Date.parse(snapshot.time) / 1000;
    if (sync !== undefined && sync.queued > sync.applied && now - sync.queued > patience.sync) {
      found.push({
        severity: "error",
        subject: "the proxy's last sync",
        message: `The proxy of this node was told of a change ${Math.round(now - sync.queued)} s ago and has not applied it yet${sync.applied > 0 ? `; it applied the one before ${Math.round(now - sync.applied)} s ago` : ", nor any other"}: new Services and pods get no connections.`,
        remedy: "see the proxy's log for what the kernel refuses, or how long a sync takes",
        run: ["curl -i http://127.0.0.1:10256/healthz"],
      });
    }
    return found;
  },
};
