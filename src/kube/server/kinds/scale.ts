/** `Scale` of `autoscaling/v1`: the number of replicas of a workload as an object of its own, which is never stored. */
import { numberAt } from "../json.ts";
import { int, of, str, struct } from "../schema/schema.ts";
import { ageColumn, count, nameColumn } from "./columns.ts";
import { defineKind, objectSchema } from "./kind.ts";

const schema = objectSchema("io.k8s.api.autoscaling.v1.Scale", "How many replicas a workload has, and shall have.", {
  spec: of(
    struct("io.k8s.api.autoscaling.v1.ScaleSpec", "What is wanted.", { replicas: int("Replicas that are wanted.") }),
    "What is wanted.",
  ),
  status: of(
    struct("io.k8s.api.autoscaling.v1.ScaleStatus", "What there is.", {
      replicas: int("Replicas that there are."),
      selector: str("The pods, as a label selector."),
    }),
    "What there is.",
  ),
});

/** The kind Scale. */
export const scaleKind = defineKind({
  group: "autoscaling",
  kind: "Scale",
  plural: "scales",
  schema,
  columns: [
    nameColumn,
    count("Desired", "Replicas that are wanted.", (object) => numberAt(object, ["spec", "replicas"])),
    count("Available", "Replicas that there are.", (object) => numberAt(object, ["status", "replicas"])),
    ageColumn,
  ],
});
