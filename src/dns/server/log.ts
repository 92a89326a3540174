/** Log lines as CoreDNS writes them: `[INFO] plugin/reload: ...`. */

/** Writes log lines. */
export interface DnsLog {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  /** Written only where plugin debug is loaded. */
  debug(message: string): void;
  /** A log whose lines begin with `plugin/name: `. */
  plugin(name: string): DnsLog;
}

/** Turns lines of debugging on or off: one for all logs of a program. */
export interface LogLevel {
  debug: boolean;
}

/** A log that writes each line, newline included, with `write`. */
export function makeLog(write: (line: string) => void, level: LogLevel = { debug: false }, prefix = ""): DnsLog {
  const line = (severity: string) => (message: string) => write(`[${severity}] ${prefix}${message}\n`);
  const debug = line("DEBUG");
  return {
    info: line("INFO"),
    warn: line("WARNING"),
    error: line("ERROR"),
    debug: (message) => {
      if (level.debug) debug(message);
    },
    plugin: (name) => makeLog(write, level, `plugin/${name}: `),
  };
}

/** A log that writes nothing. */
export const silentLog: DnsLog = makeLog(() => {});

/** What was thrown, as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
