/** Plugin template: answers made of the query by templates. */
import type { Stanza } from "../../corefile/stanza.ts";
import { compilePattern, makePattern, type Pattern } from "../../pattern.ts";
import { messageOf } from "../../server/log.ts";
import {
  type Fallthrough,
  type Handler,
  type Next,
  type Outcome,
  type Plugin,
  ServeError,
} from "../../server/plugin.ts";
import type { Query } from "../../server/query.ts";
import { reply } from "../../server/reply.ts";
import type { Site } from "../../server/site.ts";
import { fallthroughOf, noFallthrough, zonesOf } from "../../server/zones.ts";
import {
  CLASS,
  className,
  OPTION,
  RCODE,
  TYPE,
  tryParseClass,
  tryParseRcode,
  tryParseType,
  typeName,
} from "../../wire/codes.ts";
import { longestZone } from "../../wire/names.ts";
import { parseRecord } from "../../wire/parse.ts";
import { is, type ResourceRecord } from "../../wire/record.ts";
import { serverLabel } from "../prometheus/prometheus.ts";
import { compileTemplate, type Template, type TemplateData } from "./gotemplate.ts";

/** A record that is made by a template. */
interface Line {
  readonly section: "answer" | "additional" | "authority";
  readonly text: string;
  readonly fill: Template;
}

/** A directive. */
interface Rule {
  readonly class: number;
  readonly type: number;
  readonly zones: readonly string[];
  readonly patterns: readonly Pattern[];
  readonly answer: readonly Line[];
  readonly additional: readonly Line[];
  readonly authority: readonly Line[];
  readonly rcode: number;
  /** The extended error that comes along (RFC 8914): code and text. */
  readonly extended: Uint8Array | undefined;
  readonly fallthrough: Fallthrough;
}

/** The plugin. */
export const template: Plugin = {
  name: "template",
  setup: (stanzas, site) =>
    new TemplateHandler(
      stanzas.map((stanza) => parse(stanza, site)),
      site,
    ),
};

function parse(stanza: Stanza, site: Site): Rule {
  const [classText = "", typeText = "", ...zones] = stanza.expect(2, Number.POSITIVE_INFINITY);
  const cls = tryParseClass(classText);
  const type = tryParseType(typeText);
  if (cls === undefined) throw stanza.error(`'${classText}' is not a class`);
  if (type === undefined) throw stanza.error(`'${typeText}' is not a record type`);
  const patterns: Pattern[] = [];
  const sections = { answer: [] as Line[], additional: [] as Line[], authority: [] as Line[] };
  let rcode: number = RCODE.NOERROR;
  let extended: Uint8Array | undefined;
  let fallthrough = noFallthrough;
  for (const property of stanza.properties) {
    switch (property.name) {
      case "match":
        for (const source of property.expect(1, Number.POSITIVE_INFINITY)) patterns.push(makePattern(property, source));
        break;
      case "answer":
      case "additional":
      case "authority":
        for (const text of property.expect(1, Number.POSITIVE_INFINITY)) {
          try {
            const section = property.name;
            sections[section].push({ section, text, fill: compileTemplate(text) });
          } catch (error) {
            throw property.error(messageOf(error));
          }
        }
        break;
      case "rcode": {
        const code = tryParseRcode(property.expect(1)[0] ?? "");
        if (code === undefined) throw property.error(`'${property.args[0]}' is not a response code`);
        rcode = code;
        break;
      }
      case "ederror": {
        property.expect(1, 2);
        const code = property.number(0, "the code", 0, 65535);
        extended = Uint8Array.of(code >> 8, code & 255, ...Buffer.from(property.args[1] ?? ""));
        break;
      }
      case "fallthrough":
        fallthrough = fallthroughOf(property);
        break;
      // Had a meaning once, and stands in old files.
      case "upstream":
        break;
      default:
        throw stanza.unknown(property);
    }
  }
  return {
    class: cls,
    type,
    zones: zonesOf(stanza, zones, site),
    patterns: patterns.length === 0 ? [compilePattern(".*")] : patterns,
    ...sections,
    rcode,
    extended,
    fallthrough,
  };
}

class TemplateHandler implements Handler {
  readonly name = "template";
  readonly #rules: readonly Rule[];
  readonly #site: Site;
  readonly #metrics: ReturnType<typeof metricsOf>;

  constructor(rules: readonly Rule[], site: Site) {
    this.#rules = rules;
    this.#site = site;
    this.#metrics = metricsOf(site);
  }

  serve(query: Query, next: Next): Outcome {
    for (const rule of this.#rules) {
      const zone = longestZone(rule.zones, query.name);
      if (zone === undefined || !concerns(rule, query)) continue;
      const match = matchOf(rule, query.name);
      if (match === undefined) {
        if (rule.fallthrough(query.name)) continue;
        throw new ServeError(RCODE.SERVFAIL, `plugin/template: no pattern for zone ${zone} matches`);
      }
      this.#metrics.matches.labels(...this.#labels(rule, zone)).add(1);
      return this.#answer(rule, query, zone, match);
    }
    return next(query);
  }

  #answer(rule: Rule, query: Query, zone: string, match: Match): Outcome {
    if (rule.rcode === RCODE.SERVFAIL) throw new ServeError(RCODE.SERVFAIL, "plugin/template: as the template says");
    const data = dataOf(query, zone, match);
    const make = (lines: readonly Line[]): ResourceRecord[] =>
      lines.map(({ section, text, fill }) => {
        let filled: string | undefined;
        try {
          filled = fill(data);
          return parseRecord(filled);
        } catch (error) {
          const { templateFailures, recordFailures } = this.#metrics;
          const failures = filled === undefined ? templateFailures : recordFailures;
          failures.labels(...this.#labels(rule, zone), section, text).add(1);
          throw new ServeError(RCODE.SERVFAIL, `plugin/template: ${messageOf(error)}`, { cause: error });
        }
      });
    const { edns } = query.message;
    const own = {
      ...reply(query.message, {
        rcode: rule.rcode,
        answer: make(rule.answer),
        additional: make(rule.additional),
        authority: make(rule.authority),
      }),
      ...(edns !== undefined &&
        rule.extended !== undefined && {
          edns: { ...edns, options: [{ code: OPTION.EDE, data: rule.extended }] },
        }),
    };
    const alias = own.answer.find((one) => is(one, "CNAME"));
    if (alias === undefined || (query.type !== TYPE.A && query.type !== TYPE.AAAA)) return own;
    const { host } = alias.data;
    return this.#site.ask(query.ask({ name: host })).then((found) => ({
      ...own,
      answer: [...own.answer, ...(found?.answer ?? [])],
    }));
  }

  #labels(rule: Rule, zone: string): readonly string[] {
    const { viewName } = this.#site.settings;
    return [serverLabel(this.#site), zone, viewName, className(rule.class), typeName(rule.type)];
  }
}

function metricsOf({ env: { metrics } }: Site) {
  const where = ["server", "zone", "view", "class", "type"];
  const which = [...where, "section", "template"];
  return {
    matches: metrics.counters("coredns_template_matches_total", "Queries that a template was for.", ...where),
    templateFailures: metrics.counters(
      "coredns_template_template_failures_total",
      "Templates that could not be filled.",
      ...which,
    ),
    recordFailures: metrics.counters(
      "coredns_template_rr_failures_total",
      "Filled templates that were no record.",
      ...which,
    ),
  };
}

function concerns(rule: Rule, { question }: Query): boolean {
  const classes = rule.class === CLASS.ANY || question.class === CLASS.ANY || rule.class === question.class;
  return classes && (rule.type === TYPE.ANY || question.type === TYPE.ANY || rule.type === question.type);
}

interface Match {
  readonly pattern: Pattern;
  readonly groups: RegExpExecArray;
}

function matchOf(rule: Rule, name: string): Match | undefined {
  for (const pattern of rule.patterns) {
    const groups = pattern.exec(name);
    if (groups !== null) return { pattern, groups };
  }
  return undefined;
}

/** What templates know of a query. */
function dataOf(
  { name, question, client, message, state }: Query,
  zone: string,
  { pattern, groups }: Match,
): TemplateData {
  return {
    Zone: zone,
    Name: name,
    Class: className(question.class),
    Type: typeName(question.type),
    Match: [...groups].map((group) => group ?? ""),
    Group: { ...Object.fromEntries([...groups].map((group, i) => [String(i), group ?? ""])), ...groups.groups },
    Regex: pattern.source,
    Message: { Id: message.id },
    Question: { Name: question.name, Qtype: question.type, Qclass: question.class },
    Remote: client.address,
    Meta: (label: unknown) => state.metadata?.get(String(label))?.() ?? "",
  };
}
