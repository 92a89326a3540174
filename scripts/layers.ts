/** Checks that imports only point down the list of folders, and that the kernel and the disk are reached from their places only. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** The folders of src/, from the top down. Those in one row do not know each other. */
const layers: readonly (readonly string[])[] = [
  ["cli"],
  ["lab"],
  ["ui"],
  ["check"],
  ["trace"],
  ["proxy", "dns", "overlay", "ingress"],
  ["service"],
  ["kube"],
  ["telemetry", "config"],
  ["kernel"],
  ["net"],
];

/** Folders whose code is pure: no files, sockets, processes, timers, clocks or chance. */
const pure = ["service", "net"];
const impureModules = /^node:(fs|net|dgram|child_process|worker_threads|timers|http|https|http2|tls|dns)/;
const impureGlobals = /\b(setTimeout|setInterval|setImmediate|Date\.now|new Date\(\)|performance\.now|Math\.random)\b/;

const specifier = /(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g;

/** What is wrong in one file of src/, as lines for people. */
function problemsOf(file: string, text: string): readonly string[] {
  const problems: string[] = [];
  const folder = file.split("/")[1] ?? "";
  const rank = layers.findIndex((row) => row.includes(folder));
  if (rank < 0) return [`${file}: src/${folder} is not in the list of folders in scripts/layers.ts`];
  const test = file.endsWith(".test.ts");
  for (const [, target = ""] of text.matchAll(specifier)) {
    if (target.startsWith(".")) {
      const path = normalize(join(dirname(file), target));
      const other = path.split("/")[1] ?? "";
      const otherRank = layers.findIndex((row) => row.includes(other));
      if (!path.startsWith("src/")) {
        if (!test) problems.push(`${file}: imports ${path}, outside of src/`);
      } else if (other !== folder && otherRank <= rank) {
        problems.push(`${file}: imports ${path}, but src/${other} does not stand below src/${folder}`);
      }
    } else if (target === "koffi" && file !== "src/kernel/ffi.ts") {
      problems.push(`${file}: imports koffi; only src/kernel/ffi.ts may`);
    } else if (pure.includes(folder) && !test && impureModules.test(target)) {
      problems.push(`${file}: imports ${target}, but src/${folder} is pure`);
    }
  }
  const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  const impurity = pure.includes(folder) && !test ? impureGlobals.exec(code) : null;
  if (impurity !== null) problems.push(`${file}: uses ${impurity[0]}, but src/${folder} is pure`);
  return problems;
}

/** All problems of the tree in the current folder. */
export function checkLayers(): readonly string[] {
  return globSync("src/**/*.ts")
    .sort()
    .flatMap((file) => problemsOf(file, readFileSync(file, "utf8")));
}
