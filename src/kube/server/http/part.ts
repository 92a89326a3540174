/** Requests for parts of objects that are objects of their own, and what comes of them. */
import type { Api, WriteOptions } from "../api.ts";
import type { ApiObject, JsonObject } from "../json.ts";
import type { Body } from "./read.ts";
import type { ResourceRoute } from "./route.ts";

/** A request for a part. */
export interface PartRequest {
  readonly api: Api;
  readonly route: ResourceRoute;
  readonly method: string;
  readonly query: URLSearchParams;
  readonly body: Body;
  readonly options: WriteOptions;
}

/** What comes of it: a `Scale`, or the word that something is done. */
export type Done =
  | { readonly code: number; readonly object: ApiObject }
  | { readonly code: number; readonly status: JsonObject };

/** What is answered where something was done that is no object. */
export const created: Done = {
  code: 201,
  status: { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 },
};
