/** The OpenAPI documents of a set of kinds, ready to be sent. */
import { createHash } from "node:crypto";
import type { JsonObject } from "../json.ts";
import type { KindSet } from "../kinds/set.ts";
import { openApi2, openApi3 } from "../schema/openapi.ts";
import { encodeOpenApi2 } from "../schema/openapi-protobuf.ts";

/** The documents of a set of kinds. */
export interface Documents {
  readonly json2: string;
  readonly protobuf2: Uint8Array;
  /** Documents of version 3 by `group/version`. */
  readonly groups: ReadonlyMap<string, string>;
  readonly hashes: ReadonlyMap<string, string>;
}

const made = new WeakMap<KindSet, Documents>();

/** The documents, made when they are first asked for. */
export function documentsOf(kinds: KindSet): Documents {
  const known = made.get(kinds);
  if (known !== undefined) return known;
  const document = openApi2(kinds.served);
  const groups = new Map(
    [{ group: "", versions: ["v1"] }, ...kinds.groups].flatMap(({ group, versions }) =>
      versions.map((version) => [`${group}/${version}`, JSON.stringify(openApi3(kinds.of(group, version)))] as const),
    ),
  );
  const hashes = new Map([...groups].map(([name, text]) => [name, hashOf(text)] as const));
  const documents = { json2: JSON.stringify(document), protobuf2: encodeOpenApi2(document), groups, hashes };
  made.set(kinds, documents);
  return documents;
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/** The paths of the documents of version 3: clients keep each for as long as its hash stays. */
export function openApiPaths(kinds: KindSet): JsonObject {
  return Object.fromEntries(
    [...documentsOf(kinds).hashes].map(([name, hash]) => {
      const path = name.startsWith("/") ? `api${name}` : `apis/${name}`;
      return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }];
    }),
  );
}
