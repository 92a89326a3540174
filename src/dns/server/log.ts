/** Log lines as CoreDNS writes them: `[INFO] plugin/reload: ...`. */

/** Writes log lines. */
export interface DnsLog {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  /** Written only where plugin debug is loaded; the message is made only then. */
  debug(message: () => string): void;
  /** Turns lines of debugging on or off, for all logs of the program. */
  setDebug(on: boolean): void;
  /** A log whose lines begin with `plugin/name: `. */
  plugin(name: string): DnsLog;
}

/** A log that writes each line, newline included, with `write`. */
export function makeLog(write: (line: string) => void): DnsLog {
  return prefixedLog(write, { debug: false }, "");
}

/** @param level one for all logs of a program. */
function prefixedLog(write: (line: string) => void, level: { debug: boolean }, prefix: string): DnsLog {
  const line = (severity: string) => (message: string) => write(`[${severity}] ${prefix}${message}\n`);
  const debug = line("DEBUG");
  return {
    info: line("INFO"),
    warn: line("WARNING"),
    error: line("ERROR"),
    debug: (message) => {
      if (level.debug) debug(message());
    },
    setDebug: (on) => {
      level.debug = on;
    },
    plugin: (name) => prefixedLog(write, level, `plugin/${name}: `),
  };
}

/** What was thrown, as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True if what was thrown says that a file is not there. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
