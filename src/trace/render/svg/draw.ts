/** Draws lanes as an SVG document: boxes at fixed columns, heights by what stands in them. */
import { type Cell, type Column, columns, endOf, type Lane, type Line, type Tone } from "./lanes.ts";
import { style } from "./style.ts";
import { element, escapeXml, wrapText } from "./text.ts";

/** What is drawn. */
export interface Picture {
  readonly title: string;
  /** A line below the title. */
  readonly subtitle: string;
  /** The whole story in a sentence or two, for those who cannot see it. */
  readonly description: string;
  readonly lanes: readonly Lane[];
  /** How it ends, and whether that is good. */
  readonly result: readonly Line[];
  readonly ending: "good" | "bad" | "open";
}

const columnWidth = 236;
const gap = 20;
const margin = 24;
const padding = 10;
const lineHeight = 16;
/** The width of a character of the fixed-width font at its size here. */
const characterWidth = 6.7;
const width = 2 * margin + 2 * gap + columns.length * columnWidth + (columns.length - 1) * gap;
const characters = Math.floor((columnWidth - 2 * padding) / characterWidth);
const wide = Math.floor((width - 2 * margin - 2 * padding) / characterWidth);

/** A point where the packet's way goes on. */
interface Point {
  readonly x: number;
  readonly y: number;
}

/** Draws. */
export function draw(picture: Picture): string {
  const parts: string[] = [];
  let y = margin + 20;
  parts.push(text(margin, y, picture.title, "title"));
  for (const line of wrapText(picture.subtitle, wide)) {
    y += 20;
    parts.push(text(margin, y, line, "subtitle"));
  }
  y += 30;
  for (const column of columns) {
    parts.push(text(columnX(column) + columnWidth / 2, y, column, "column", "middle"));
  }
  y += 10;
  const top = y;
  let from: Point | undefined;
  for (const lane of picture.lanes) {
    const drawn = drawLane(lane, y, from);
    parts.push(...drawn.parts);
    from = drawn.end;
    y = drawn.bottom + gap;
  }
  const guides = columns.map((column) => {
    const x = columnX(column) + columnWidth / 2;
    return element("line", { x1: x, y1: top, x2: x, y2: y - gap, class: "guide" });
  });
  const result = drawResult(picture, y, from);
  const height = result.bottom + margin;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="trace-title trace-description">`,
    `<title id="trace-title">${escapeXml(picture.title)}</title>`,
    `<desc id="trace-description">${escapeXml(picture.description)}</desc>`,
    `<style>${style}</style>`,
    `<defs><marker id="trace-head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0 L8 4 L0 8 z" class="head"/></marker></defs>`,
    element("rect", { x: 0, y: 0, width, height, class: "paper" }),
    ...guides,
    ...parts,
    ...result.parts,
    "</svg>\n",
  ].join("\n");
}

function columnX(column: Column): number {
  return margin + gap + columns.indexOf(column) * (columnWidth + gap);
}

interface Drawn {
  readonly parts: readonly string[];
  readonly bottom: number;
  readonly end: Point | undefined;
}

function drawLane(lane: Lane, top: number, from: Point | undefined): Drawn {
  const inside: string[] = [];
  const paths: string[] = [];
  let y = top + 24;
  const role = { node: "node", pod: "pod", other: "" }[lane.role];
  const before = role === "" ? "" : element("tspan", { class: "role" }, role);
  const name = `${before}${element("tspan", { dx: role === "" ? 0 : 6 }, escapeXml(lane.place))}`;
  inside.push(element("text", { x: margin + padding, y, class: "lane-name" }, name));
  y += 4;
  const lines = linesAt(lane.before, margin + padding, y, wide);
  inside.push(...lines.parts);
  y = lines.bottom + 10;
  let at = from;
  for (const [rowNumber, row] of lane.rows.entries()) {
    let bottom = y;
    for (const [i, cell] of row.entries()) {
      const box = drawCell(cell, y);
      inside.push(box.svg);
      const x = columnX(cell.column);
      // In a row the way goes on from a box's side; out of the last one, from its bottom.
      if (at !== undefined) {
        const between = rowNumber === 0 ? top - gap / 2 : y - gap / 2;
        paths.push(i === 0 ? descent(at, cell, y, between) : straight(at, { x, y: y + entryHeight }));
      }
      bottom = Math.max(bottom, box.bottom);
      const isLast = i === row.length - 1;
      at = isLast ? { x: x + columnWidth / 2, y: box.bottom } : { x: x + columnWidth, y: y + entryHeight };
    }
    y = bottom + gap;
  }
  const after = linesAt(lane.after, margin + padding, y - gap + 6, wide);
  inside.push(...after.parts);
  const bottom = Math.max(y - gap, after.bottom) + 12;
  const frame = element("rect", {
    x: margin,
    y: top,
    width: width - 2 * margin,
    height: bottom - top,
    rx: 8,
    class: `lane ${lane.role}`,
  });
  return { parts: [frame, ...paths, ...inside], bottom, end: at };
}

/** From box to box in a row. */
function straight(from: Point, to: Point): string {
  return element("path", { d: `M${from.x} ${to.y} H${to.x}`, class: "way", "marker-end": "url(#trace-head)" });
}

/** From the bottom of a box to one in a later row or lane: into its side at the left edge, else from above. */
function descent(from: Point, cell: Cell, top: number, between: number): string {
  const x = columnX(cell.column);
  const side = cell.column === "prerouting";
  const end = side ? `H${margin / 2} V${top + entryHeight} H${x}` : `H${x + columnWidth / 2} V${top}`;
  return element("path", {
    d: `M${from.x} ${from.y} V${between} ${end}`,
    class: "way",
    "marker-end": "url(#trace-head)",
  });
}

/** How far below its top the way goes into a box, and out of it. */
const entryHeight = 22;

function drawCell(cell: Cell, top: number): { readonly svg: string; readonly bottom: number } {
  const x = columnX(cell.column);
  const parts: string[] = [];
  let y = top + 4;
  const { packet, changed } = cell;
  for (const [label, end] of [
    ["from", "source"],
    ["to", "destination"],
  ] as const) {
    for (const [i, line] of wrapText(endOf(packet, end), characters - 5).entries()) {
      y += lineHeight;
      if (i === 0) parts.push(text(x + padding, y, label, "quiet"));
      parts.push(text(x + padding + 36, y, line, changed.has(end) ? "header changed" : "header"));
    }
  }
  if (packet.mark !== 0 || changed.has("mark")) {
    y += lineHeight;
    parts.push(text(x + padding, y, "mark", "quiet"));
    parts.push(
      text(x + padding + 36, y, `0x${packet.mark.toString(16)}`, changed.has("mark") ? "header changed" : "header"),
    );
  }
  const headerBottom = y + 8;
  const shown = cell.lines.length > mostLines ? cell.lines.slice(0, mostLines) : cell.lines;
  const left = cell.lines.length - shown.length;
  const all = left > 0 ? [...shown, { text: `… and ${left} more`, tone: "quiet" as const }] : shown;
  if (all.length > 0) y = headerBottom + 2;
  const lines = linesAt(all, x + padding, y, characters);
  const bottom = (all.length > 0 ? lines.bottom : y) + 10;
  const stops = cell.lines.some(({ tone }) => tone === "stop");
  const box = element("rect", {
    x,
    y: top,
    width: columnWidth,
    height: bottom - top,
    rx: 6,
    class: stops ? "box stopped" : "box",
  });
  const rule =
    all.length === 0
      ? ""
      : element("line", { x1: x, y1: headerBottom, x2: x + columnWidth, y2: headerBottom, class: "divider" });
  return { svg: `<g>${box}${rule}${parts.join("")}${lines.parts.join("")}</g>`, bottom };
}

/** The most lines of a cell. */
const mostLines = 24;

function linesAt(lines: readonly Line[], x: number, top: number, most: number) {
  const parts: string[] = [];
  let y = top;
  for (const line of lines) {
    for (const piece of wrapText(line.text, most)) {
      y += lineHeight;
      parts.push(text(x, y, piece, classOf[line.tone]));
    }
  }
  return { parts, bottom: y };
}

const classOf: Readonly<Record<Tone, string>> = {
  plain: "line",
  place: "line rule",
  change: "line change",
  stop: "line stop",
  doubt: "line doubt",
  quiet: "line quiet",
};

function drawResult({ result, ending }: Picture, top: number, from: Point | undefined): Drawn {
  const y = top + 6;
  const lines = linesAt(result, margin + padding + 10, y + 4, wide - 3);
  const bottom = lines.bottom + 14;
  const box = element("rect", {
    x: margin,
    y,
    width: width - 2 * margin,
    height: bottom - y,
    rx: 8,
    class: `result ${ending}`,
  });
  const stripe = element("rect", { x: margin, y, width: 8, height: bottom - y, rx: 4, class: `stripe ${ending}` });
  const way =
    from === undefined
      ? []
      : [element("path", { d: `M${from.x} ${from.y} V${y}`, class: "way", "marker-end": "url(#trace-head)" })];
  return { parts: [...way, box, stripe, ...lines.parts], bottom, end: undefined };
}

function text(x: number, y: number, content: string, name: string, anchor?: "middle"): string {
  const attributes = { x, y, class: name, ...(anchor !== undefined && { "text-anchor": anchor }) };
  return element("text", attributes, escapeXml(content));
}
