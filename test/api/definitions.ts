/** What any kubectl should be able to do with a kind that it defines. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";

/** Paths of manifests that tests apply. */
export const fixture = (name: string) => join(import.meta.dirname, "fixtures", `${name}.yaml`);

/** The path of the objects of the kind of `fixtures/crontab.yaml`. */
export const crontabs = "/apis/stable.example.com/v1/namespaces/default/crontabs";

/** One of them. */
export function cronTab(name: string, spec: unknown, version = "v1"): string {
  return JSON.stringify({ apiVersion: `stable.example.com/${version}`, kind: "CronTab", metadata: { name }, spec });
}

/** Defines the kind of a fixture and waits until it is served. */
export async function define({ kubectl }: Pick<Cluster, "kubectl">, name = "crontab"): Promise<void> {
  await kubectl(["apply", "-f", fixture(name)]);
  await kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=10s"]);
}

/** Defines a kind, works with its objects, and takes it away. */
export async function useDefinition({ kubectl, tryKubectl }: Pick<Cluster, "kubectl" | "tryKubectl">): Promise<void> {
  await define({ kubectl });
  const mine = cronTab("mine", { cronSpec: "* * * * */5", steps: [{ name: "a", run: "true" }], extra: { any: [1] } });
  assert.match(await kubectl(["apply", "-f", "-"], mine), /crontab.stable.example.com\/mine created/);
  assert.match(await kubectl(["apply", "-f", "-"], mine), /unchanged/);
  const spec = async () => JSON.parse(await kubectl(["get", "ct", "mine", "-o", "json"])).spec;
  assert.deepEqual(await spec(), {
    cronSpec: "* * * * */5",
    image: "busy:1",
    replicas: 1,
    steps: [{ name: "a", run: "true" }],
    extra: { any: [1] },
  });
  assert.match(await kubectl(["get", "all"]), /crontab.stable.example.com\/mine +\* \* \* \* \*\/5 +1/);
  assert.match(await kubectl(["get", "crontab", "-o", "wide"]), /NAME +SPEC +REPLICAS +READY +IMAGE +AGE\n/);
  await kubectl(["scale", "crontab/mine", "--replicas=3"]);
  assert.equal((await spec()).replicas, 3);
  await kubectl(["patch", "ct", "mine", "--type=merge", "-p", '{"spec":{"mode":"Fast"}}']);
  assert.match(
    (await tryKubectl(["patch", "ct", "mine", "--type=merge", "-p", '{"spec":{"replicas":30,"mode":"Odd"}}'])).stderr,
    /spec.replicas in body should be less than or equal to 10[\s\S]*spec.mode: Unsupported value: "Odd": supported values: "Fast", "Slow"/,
  );
  assert.match(
    (await tryKubectl(["patch", "ct", "mine", "--type=strategic", "-p", '{"spec":{"mode":"Slow"}}'])).stderr,
    /unsupported|unknown format|not supported/i,
  );
  for (const name of ["b", "c"]) {
    const applied = cronTab("mine", { cronSpec: "0 0 * * 0", steps: [{ name }] });
    await kubectl(["apply", "--server-side", `--field-manager=${name}`, "--force-conflicts", "-f", "-"], applied);
  }
  const steps: readonly { readonly name: string }[] = (await spec()).steps;
  const names = steps.map(({ name }) => name).filter((name) => name !== "a");
  // What kubectl applied before goes over to the first, with newer ones.
  assert.deepEqual(names.sort(), ["b", "c"], "lists are merged by their keys");
  assert.match(
    await kubectl(["explain", "crontab.spec"]),
    /What is wanted[\s\S]*cronSpec\s+<string>[\s\S]*When it runs/,
  );
  assert.match(await kubectl(["explain", "ct.spec.steps"]), /run\s+<string>/);
  assert.match(
    await kubectl(["api-resources", "--api-group=stable.example.com"]),
    /crontabs +ct +stable.example.com\/v1 +true +CronTab/,
  );
  assert.match(
    await kubectl(["get", "crontabs.v1beta1.stable.example.com", "mine", "-o", "yaml"]),
    /apiVersion: stable.example.com\/v1beta1/,
  );
  await kubectl(["delete", "ct", "mine"]);
  await kubectl(["apply", "-f", "-"], mine);
  await kubectl(["delete", "crd", "crontabs.stable.example.com", "--timeout=10s"]);
}
