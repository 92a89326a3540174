/** Objects that are sent to the server but never stored. */
import { bool, long, of, str, strings, struct } from "../schema/schema.ts";
import { objectSchema } from "./kind.ts";
import { objectReference } from "./meta.ts";

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
const policy = "io.k8s.api.policy.v1";
const authorization = "io.k8s.api.authorization.v1";

/** `DeleteOptions` of `meta/v1`. */
export const deleteOptionsSchema = struct(`${meta}.DeleteOptions`, "How an object is to be deleted.", {
  apiVersion: str("API version."),
  kind: str("Kind."),
  gracePeriodSeconds: long("Seconds that it gets to end."),
  preconditions: of(
    struct(`${meta}.Preconditions`, "What must be so.", { uid: str("Its UID."), resourceVersion: str("Its version.") }),
    "What must be so.",
  ),
  orphanDependents: bool("True if dependents stay."),
  propagationPolicy: str("Background, Foreground or Orphan."),
  dryRun: strings("All to do nothing."),
  ignoreStoreReadErrorWithClusterBreakingPotential: bool("Not used."),
});

/** `Eviction` of `policy/v1`. */
export const evictionSchema = objectSchema(`${policy}.Eviction`, "Asks a pod to leave its node.", {
  deleteOptions: of(deleteOptionsSchema, "How it is to be deleted."),
});

/** `Binding` of the core API. */
export const bindingSchema = objectSchema("io.k8s.api.core.v1.Binding", "Gives a pod a node.", {
  target: of(objectReference, "The node."),
});

/** `SelfSubjectAccessReview` of `authorization.k8s.io/v1`. */
export const accessReviewSchema = objectSchema(
  `${authorization}.SelfSubjectAccessReview`,
  "Asks whether the user may do something.",
  {
    spec: of(
      struct(`${authorization}.SelfSubjectAccessReviewSpec`, "What it is about.", {
        resourceAttributes: of(
          struct(`${authorization}.ResourceAttributes`, "Objects.", {
            namespace: str("Namespace."),
            verb: str("Verb."),
            group: str("API group."),
            version: str("Version."),
            resource: str("Resource."),
            subresource: str("Subresource."),
            name: str("Name."),
          }),
          "Objects.",
        ),
        nonResourceAttributes: of(
          struct(`${authorization}.NonResourceAttributes`, "A path.", { path: str("Path."), verb: str("Verb.") }),
          "A path.",
        ),
      }),
      "What it is about.",
    ),
  },
);

/** `SelfSubjectRulesReview` of `authorization.k8s.io/v1`. */
export const rulesReviewSchema = objectSchema(`${authorization}.SelfSubjectRulesReview`, "Asks what the user may do.", {
  spec: of(struct(`${authorization}.SelfSubjectRulesReviewSpec`, "Where.", { namespace: str("Namespace.") }), "Where."),
});

/** `SelfSubjectReview` of `authentication.k8s.io/v1`. */
export const selfReviewSchema = objectSchema(
  "io.k8s.api.authentication.v1.SelfSubjectReview",
  "Asks who the user is.",
  {},
);
