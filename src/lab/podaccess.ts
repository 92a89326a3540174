/** Logs of a lab's pods, and programs run in them, as `kubectl logs` and `kubectl exec` want them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { signalProcess, spawnInside } from "../kernel/programs.ts";
import { isFields } from "../kube/objects/fields.ts";
import type { PodAccess } from "../kube/server/http/podaccess.ts";
import type { ApiObject } from "../kube/server/json.ts";
import { readGrowing } from "./follow.ts";
import { logFile } from "./kubelet/start.ts";
import { findPlace, type Place, programEnvironment } from "./places.ts";
import type { LabFolder } from "./state.ts";

/** The way to the pods of a lab. */
export function podAccess(folder: LabFolder, lab: string): PodAccess {
  const placeOf = ({ metadata: { name, namespace = "default" }, spec }: ApiObject): PodFiles => {
    const own = join(folder.pods, `${namespace}.${name}`);
    if (!existsSync(own)) throw new Error(`pod ${name} does not run`);
    const node = isFields(spec) && spec.hostNetwork === true ? String(spec.nodeName) : undefined;
    const { namespace: inside, disguise } = findPlace(folder, lab, node ?? `${namespace}/${name}`, namespace);
    return { inside, disguise, folder: own };
  };
  return {
    logs({ pod, container, follow, previous }, signal) {
      if (previous) throw new Error("the logs of all starts of a container are one");
      const file = logFile(placeOf(pod), container);
      return existsSync(file) ? readGrowing(file, follow, signal) : nothing();
    },
    exec({ pod, command }) {
      const { inside, disguise } = placeOf(pod);
      const options = {
        detached: true,
        stdio: ["pipe", "pipe", "pipe"] as ("pipe" | "ignore")[],
        env: programEnvironment(),
      };
      const child = spawnInside(inside, command, options, disguise);
      const { stdin, stdout, stderr } = child;
      if (stdin === null || stdout === null || stderr === null) throw new Error("the program has no pipes");
      stdin.on("error", () => {});
      const exit = new Promise<number>((resolve) => {
        child.on("error", () => resolve(127));
        child.on("close", (code) => resolve(code ?? 137));
      });
      return {
        stdin,
        stdout,
        stderr,
        exit,
        kill: () => void (child.pid !== undefined && signalProcess(-child.pid, "SIGKILL")),
      };
    },
  };
}

/** Where a pod is, and what it has on disk. */
interface PodFiles extends Pick<Place, "disguise"> {
  readonly inside: string;
  readonly folder: string;
}

async function* nothing(): AsyncIterable<string> {
  yield "";
}
