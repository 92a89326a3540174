/** Writes and reads expressions by the tables that describe them. */
import { AttributeReader } from "../../netlink/reader.ts";
import { NetlinkWriter } from "../../netlink/writer.ts";
import type { Expression } from "./expression.ts";
import type { Field, FieldsOf, OptionalField } from "./fields.ts";

const expressionName = 1;
const expressionData = 2;
const listElement = 1;

/** How one kind of expression is written and read. */
export interface Codec<E = object> {
  /** The kernel's name: several kinds may share it. */
  readonly name: string;
  readonly fields: FieldsOf<E>;
  /** Attributes with a constant number of 32 bits that tell this kind from others of its name. */
  readonly fixed?: Readonly<Record<number, number>>;
  /** Attributes without a meaning. */
  readonly padding?: readonly number[];
  /** Leaves out what the kernel adds although it is implied. */
  readonly normalize?: (expression: E) => E;
}

/** A codec as the loops below use it: its fields by attribute and as a list. */
interface Compiled {
  readonly kind: string;
  readonly codec: Codec;
  readonly fields: readonly (readonly [string, AnyField])[];
  readonly byAttribute: ReadonlyMap<number, readonly [string, AnyField]>;
}

type AnyField = Field<unknown> & Partial<Pick<OptionalField<unknown>, "optional" | "isDefault">>;

/** All kinds of expressions with their codecs. */
export type CodecTable = {
  readonly [K in Exclude<Expression["kind"], "unknown">]: Codec<Extract<Expression, { kind: K }>>;
};

/** Encoder and decoder made from a table of codecs. */
export class ExpressionCodec {
  readonly #byKind = new Map<string, Compiled>();
  readonly #byName = new Map<string, Compiled[]>();

  constructor(table: CodecTable) {
    for (const [kind, codec] of Object.entries(table) as [string, Codec][]) {
      const fields = Object.entries(codec.fields) as [string, AnyField][];
      const byAttribute = new Map(
        fields.flatMap((entry) => [entry[1].attribute, ...(entry[1].alsoRead ?? [])].map((number) => [number, entry])),
      );
      const compiled: Compiled = { kind, codec, fields, byAttribute };
      this.#byKind.set(kind, compiled);
      const sameName = this.#byName.get(codec.name);
      if (sameName === undefined) this.#byName.set(codec.name, [compiled]);
      else sameName.push(compiled);
    }
  }

  /** Writes expressions as a list inside an attribute. */
  encodeList(writer: NetlinkWriter, attribute: number, expressions: readonly Expression[]): void {
    const list = writer.beginNested(attribute);
    for (const expression of expressions) this.encode(writer, listElement, expression);
    writer.endNested(list);
  }

  /**
   * Writes an expression inside an attribute.
   *
   * @throws {RangeError} if a field has a value that its type does not allow.
   */
  encode(writer: NetlinkWriter, attribute: number, expression: Expression): void {
    const nest = writer.beginNested(attribute);
    if (expression.kind === "unknown") {
      writer.attributeString(expressionName, expression.name);
      writer.attributeBytes(expressionData | 0x8000, expression.data);
    } else {
      const compiled = this.#byKind.get(expression.kind);
      if (compiled === undefined) throw new RangeError(`unknown kind of expression ${JSON.stringify(expression)}`);
      writer.attributeString(expressionName, compiled.codec.name);
      const data = writer.beginNested(expressionData);
      this.#encodeFields(writer, compiled, expression as unknown as Readonly<Record<string, unknown>>);
      writer.endNested(data);
    }
    writer.endNested(nest);
  }

  #encodeFields(writer: NetlinkWriter, compiled: Compiled, expression: Readonly<Record<string, unknown>>): void {
    for (const [property, field] of compiled.fields) {
      const value = expression[property];
      if (value === undefined) {
        if (!field.optional) throw new RangeError(`${compiled.kind} expression without ${property}`);
        continue;
      }
      field.write(writer, field.attribute, value, expression);
    }
    for (const [number, value] of Object.entries(compiled.codec.fixed ?? {})) {
      writer.attributeU32BE(Number(number), value);
    }
  }

  /**
   * The attributes of an expression alone, as the data of a named object of its kind.
   *
   * @throws {RangeError} if a field has a value that its type does not allow.
   */
  encodeData(expression: Expression): Uint8Array {
    if (expression.kind === "unknown") return expression.data;
    const compiled = this.#byKind.get(expression.kind);
    if (compiled === undefined) throw new RangeError(`unknown kind of expression ${JSON.stringify(expression)}`);
    const writer = new NetlinkWriter(64);
    this.#encodeFields(writer, compiled, expression as unknown as Readonly<Record<string, unknown>>);
    return writer.toBytes();
  }

  /** Reads attributes without the expression around them: an `unknown` one if there is anything not known. */
  decodeData(name: string, data: Uint8Array): Expression {
    for (const compiled of this.#byName.get(name) ?? []) {
      const expression = decodeFields(compiled, new AttributeReader(data));
      if (expression !== undefined) return expression;
    }
    return { kind: "unknown", name, data: data.slice() };
  }

  /** Reads a list of expressions. */
  decodeList(list: AttributeReader): Expression[] {
    const expressions: Expression[] = [];
    while (list.next()) expressions.push(this.decode(list.nested()));
    return expressions;
  }

  /** Reads one expression: an `unknown` one if there is anything about it that its codec does not know. */
  decode(attributes: AttributeReader): Expression {
    let name = "";
    let data: Uint8Array = new Uint8Array();
    while (attributes.next()) {
      if (attributes.type === expressionName) name = attributes.string();
      else if (attributes.type === expressionData) data = attributes.bytes();
    }
    return this.decodeData(name, data);
  }
}

function decodeFields(compiled: Compiled, attributes: AttributeReader): Expression | undefined {
  const { kind, codec, fields, byAttribute } = compiled;
  const found: Record<string, unknown> = { kind };
  let fixedLeft = Object.keys(codec.fixed ?? {}).length;
  while (attributes.next()) {
    const fixed = codec.fixed?.[attributes.type];
    if (fixed !== undefined) {
      if (attributes.u32BE() !== fixed) return undefined;
      fixedLeft--;
      continue;
    }
    const entry = byAttribute.get(attributes.type);
    if (entry === undefined) {
      if (codec.padding?.includes(attributes.type)) continue;
      return undefined;
    }
    const [property, field] = entry;
    const value = field.read(attributes);
    if (value === undefined) return undefined;
    if (!field.optional || !field.isDefault?.(value)) found[property] = value;
  }
  if (fixedLeft > 0) return undefined;
  for (const [property, field] of fields) {
    if (field.optional || found[property] !== undefined) continue;
    if (field.fallback === undefined) return undefined;
    found[property] = field.fallback;
  }
  return (codec.normalize?.(found) ?? found) as unknown as Expression;
}
