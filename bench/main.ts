/** `npm run bench` lists the benchmarks, `npm run bench -- NAME [ARGUMENT...]` runs one. */
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

const folder = import.meta.dirname;
const benchmarks = globSync("*.ts", { cwd: folder })
  .filter((file) => file !== basename(import.meta.filename))
  .map((file) => basename(file, ".ts"))
  .sort();

/** The first sentence of a benchmark's own description. */
function summary(name: string): string {
  const text = readFileSync(join(folder, `${name}.ts`), "utf8");
  const comment = /^\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? "";
  return (
    comment
      .replaceAll(/\s*\n?\s*\*\s?/g, " ")
      .trim()
      .split(/\.(?:\s|$)/)[0] ?? ""
  );
}

const [name, ...args] = process.argv.slice(2);
if (name === undefined || !benchmarks.includes(name)) {
  const list = benchmarks.map((each) => `  ${each.padEnd(10)} ${summary(each)}\n`).join("");
  process.stderr.write(`usage: npm run bench -- NAME [ARGUMENT...]\n\n${list}`);
  process.exitCode = name === undefined ? 0 : 2;
} else {
  const run = spawnSync(process.execPath, ["--expose-gc", ...process.execArgv, join(folder, `${name}.ts`), ...args], {
    stdio: "inherit",
  });
  process.exitCode = run.status ?? 1;
}
