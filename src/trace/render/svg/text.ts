/** Text in SVG: escaped, and broken into lines. */

/** Text as content or as a quoted attribute; characters that XML does not have are replaced. */
export function escapeXml(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, "\u{fffd}")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

/** An element. @param content as it is, escaped already. */
export function element(name: string, attributes: Readonly<Record<string, string | number>>, content?: string): string {
  const list = Object.entries(attributes)
    .map(
      ([key, value]) =>
        ` ${key}="${escapeXml(typeof value === "number" ? String(Math.round(value * 10) / 10) : value)}"`,
    )
    .join("");
  return content === undefined ? `<${name}${list}/>` : `<${name}${list}>${content}</${name}>`;
}

/** The longest text that is shown in one piece, in characters. */
const longest = 600;

/** Breaks text into lines of up to so many characters: between words, and within those that are longer. */
export function wrapText(text: string, most: number): readonly string[] {
  const short = text.length > longest ? `${text.slice(0, longest)}…` : text;
  const lines: string[] = [];
  let line = "";
  for (const word of short.split(/\s+/)) {
    let rest = word;
    if (line !== "" && line.length + 1 + rest.length > most) {
      lines.push(line);
      line = "";
    }
    while (rest.length > most) {
      lines.push(rest.slice(0, most));
      rest = rest.slice(most);
    }
    line = line === "" ? rest : `${line} ${rest}`;
  }
  return line === "" && lines.length > 0 ? lines : [...lines, line];
}
