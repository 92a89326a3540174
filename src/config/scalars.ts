/** Which plain words of YAML are numbers, truths and the like, as Kubernetes' own YAML library has it. */
import type { Tags } from "yaml";

/** Types of YAML 1.1 that stay plain strings: `2026-01-01`, `1:20`. */
const unknownTypes = new Set(["timestamp", "omap", "pairs", "binary"].map((type) => `tag:yaml.org,2002:${type}`));

/** Numbers have a digit before the exponent or beside the point: by the letter of YAML 1.1 the name `e2` is one too. */
const floats = {
  exponent: /^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$/,
  point: /^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)$/,
};

/** The types of YAML 1.1 that Kubernetes' files use: the option `customTags` of the parser. */
export const kubernetesTags = (tags: Tags): Tags =>
  tags.flatMap((tag): Tags => {
    if (typeof tag === "string") return [tag];
    if (unknownTypes.has(tag.tag) || ("format" in tag && tag.format === "TIME")) return [];
    if (tag.test === undefined) return [tag];
    if (tag.format === "EXP") return [{ ...tag, test: floats.exponent }];
    return tag.test.test(".") ? [{ ...tag, test: floats.point }] : [tag];
  });
