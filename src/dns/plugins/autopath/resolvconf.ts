/** The search path in a file like resolv.conf. */
import { tryParseName } from "../../wire/names.ts";

/** Domains of a search path that are looked at. */
const maxDomains = 32;

/** The domains of the last `search` line, absolute and in lower case, and the root at the end. */
export function searchDomains(resolvConf: string): readonly string[] {
  let domains: readonly string[] = [];
  for (const line of resolvConf.split("\n")) {
    const [keyword, ...words] = line
      .replace(/[#;].*/, "")
      .trim()
      .split(/\s+/);
    if (keyword === "search") domains = words.flatMap((word) => tryParseName(word)?.toLowerCase() ?? []);
  }
  return [...domains.filter((domain) => domain !== ".").slice(0, maxDomains), "."];
}
