/** What form of answer a client wants. Pure. */
import { ApiError } from "../errors.ts";

/** Objects as they are, as rows of a table, or their metadata alone. */
export type Form = "object" | "table" | "metadata";

/** A media type with its parameters. */
export interface MediaType {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** The media types of an `Accept` header, in its order; none means any. */
export function parseAccept(header: string): readonly MediaType[] {
  const types = header
    .split(",")
    .map((part) => parseMediaType(part))
    .filter((part) => part.type !== "");
  return types.length === 0 ? [{ type: "*/*", parameters: {} }] : types;
}

/** Reads one media type such as `application/json;as=Table`. */
export function parseMediaType(text: string): MediaType {
  const [type = "", ...rest] = text.split(";").map((part) => part.trim());
  const parameters = Object.fromEntries(
    rest.map((part) => {
      const equals = part.indexOf("=");
      return equals < 0 ? [part, ""] : [part.slice(0, equals), part.slice(equals + 1).replaceAll('"', "")];
    }),
  );
  return { type: type.toLowerCase(), parameters };
}

/**
 * The first form of the header that the server can make.
 *
 * @throws {ApiError} 406 if there is none.
 */
export function chooseForm(header: string): Form {
  for (const { type, parameters } of parseAccept(header)) {
    if (type !== "application/json" && type !== "*/*" && type !== "application/*") continue;
    const { as, g, v } = parameters;
    if (as === undefined) return "object";
    if (g !== "meta.k8s.io" || (v !== "v1" && v !== "v1beta1")) continue;
    if (as === "Table") return "table";
    if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return "metadata";
  }
  throw new ApiError(406, "NotAcceptable", "only the following media types are accepted: application/json");
}
