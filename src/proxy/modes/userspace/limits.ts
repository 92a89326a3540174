/** How much of the process the clients of services may take: its files are what runs out first. */
import { readFileSync } from "node:fs";

/** As many there may be at a time, of all services. */
export interface Limits {
  /** TCP connections; further ones are reset as they come. */
  readonly connections: number;
  /** UDP listeners; service ports beyond are balanced by the kernel. */
  readonly udpListeners: number;
  /** UDP clients; beyond that the one that was silent longest is forgotten. */
  readonly udpSessions: number;
}

const most: Limits = { connections: 16_384, udpListeners: 1024, udpSessions: 8192 };
/** Files kept for everything else that the agent does: rules, objects, pages. */
const kept = 1024;

/**
 * The limits that leave the agent able to work: a connection takes two files, a UDP client and a listener one.
 *
 * @param files how many the process may open.
 */
export function limitsFor(files: number): Limits {
  const udpListeners = Math.min(most.udpListeners, Math.floor(files / 8));
  const udpSessions = Math.min(most.udpSessions, Math.floor(files / 4));
  const left = files - Math.min(kept, Math.floor(files / 4)) - udpListeners - udpSessions;
  return { connections: Math.min(most.connections, Math.floor(left / 2)), udpListeners, udpSessions };
}

/** How many files this process may open (`RLIMIT_NOFILE`). */
export function openFilesLimit(): number {
  const value = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return value === undefined || value === "unlimited" ? Number.POSITIVE_INFINITY : Number(value);
}

/** Counts what is limited. */
export class Places {
  readonly #limit: number;
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes a place. @returns false if there is none left. */
  take(): boolean {
    if (this.#taken >= this.#limit) return false;
    this.#taken++;
    return true;
  }

  /** Gives a place back. */
  free(): void {
    this.#taken--;
  }
}
