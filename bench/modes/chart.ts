/** Line charts with logarithmic axes, side by side, as SVG. */

/** A line: a name and its points. */
export interface Series {
  readonly name: string;
  /** All above 0. */
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** A chart. */
export interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
}

const size = { width: 300, height: 220, left: 52, right: 12, top: 34, bottom: 40 };
const colours = ["#1f6feb", "#d29922", "#cf222e", "#2da44e", "#8250df", "#57606a"];

/** Draws panels that share their kinds of lines and their x axis. @param xLabel what x is, for all. */
export function drawCharts(panels: readonly Panel[], xLabel: string): string {
  const names = [...new Set(panels.flatMap(({ series }) => series.map(({ name }) => name)))];
  const width = panels.length * size.width;
  const legend = names.map(
    (name, i) =>
      `<g transform="translate(${size.left + 165 * i} ${size.height + 14})"><path d="M0 -4h18" stroke="${colourOf(i)}" stroke-width="2"/><text x="23">${escapeText(name)}</text></g>`,
  );
  const body = panels.map(
    (panel, i) => `<g transform="translate(${i * size.width} 0)">${drawPanel(panel, names, xLabel)}</g>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${size.height + 28}" font-family="sans-serif" font-size="11" fill="#24292f">
<rect width="100%" height="100%" fill="#ffffff"/>
${[...body, ...legend].join("\n")}
</svg>
`;
}

function drawPanel({ title, series }: Panel, names: readonly string[], xLabel: string): string {
  const all = series.flatMap(({ points }) => points);
  const xs = decades(all.map(({ x }) => x));
  const ys = decades(all.map(({ y }) => y));
  const { width, height, left, right, top, bottom } = size;
  const at = (value: number, [first = 0, last = 1]: readonly number[], from: number, to: number) =>
    from + ((Math.log10(value) - first) / (last - first)) * (to - from);
  const px = (x: number) => at(x, [xs[0] ?? 0, xs.at(-1) ?? 1], left, width - right).toFixed(1);
  const py = (y: number) => at(y, [ys[0] ?? 0, ys.at(-1) ?? 1], height - bottom, top).toFixed(1);
  const grid = ys.map((power) => {
    const y = py(10 ** power);
    return `<path d="M${left} ${y}H${width - right}" stroke="#d0d7de"/><text x="${left - 5}" y="${y}" dy="4" text-anchor="end">${10 ** power}</text>`;
  });
  const ticks = [...new Set(all.map(({ x }) => x))].map(
    (x) => `<text x="${px(x)}" y="${height - bottom + 15}" text-anchor="middle">${shortNumber(x)}</text>`,
  );
  const lines = series.map(({ name, points }) => {
    const colour = colourOf(names.indexOf(name));
    const path = points.map(({ x, y }, i) => `${i === 0 ? "M" : "L"}${px(x)} ${py(y)}`).join("");
    const dots = points.map(({ x, y }) => `<circle cx="${px(x)}" cy="${py(y)}" r="2.5" fill="${colour}"/>`).join("");
    return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${dots}`;
  });
  const label = `<text x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">${escapeText(xLabel)}</text>`;
  const heading = `<text x="${left}" y="18" font-weight="bold">${escapeText(title)}</text>`;
  return [heading, ...grid, ...ticks, label, ...lines].join("\n");
}

/** The powers of ten from the one below all values to the one above. */
function decades(values: readonly number[]): readonly number[] {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...values))));
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** `500`, `10k`. */
function shortNumber(value: number): string {
  return value >= 1000 ? `${value / 1000}k` : String(value);
}

function colourOf(index: number): string {
  return colours[index % colours.length] ?? "#000000";
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
