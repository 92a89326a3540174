/** What the tests of this folder share. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

/** A directory that is removed when it goes out of scope. */
export function temporaryDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "portolan-trace-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

/** Takes a lock of this process's own for iptables: its tables are in namespaces that are nobody else's. */
export function lockOfOurOwn(): void {
  const directory = temporaryDirectory();
  process.env.XTABLES_LOCKFILE = `${directory.path}/xtables.lock`;
  after(() => directory[Symbol.dispose]());
}
