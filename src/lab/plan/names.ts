/** What labs are called, and their network namespaces: from a name one can tell whose it is, so that none is left behind. */

/** How the namespaces of a lab are called. */
export interface NamespaceNames {
  readonly wire: string;
  readonly outside: string;
  node(name: string): string;
  pod(namespace: string, name: string): string;
  /** Whether a name is of this lab. */
  owns(name: string): boolean;
}

/** The names of a lab's namespaces. */
export function namespaceNames(lab: string): NamespaceNames {
  const prefix = `ptl-${lab}`;
  return {
    wire: `${prefix}-wire`,
    outside: `${prefix}-outside`,
    node: (name) => `${prefix}-${name}`,
    pod: (namespace, name) => `${prefix}-pod-${namespace}.${name}`,
    owns: (name) =>
      name.startsWith(`${prefix}-`) && /^(wire|outside|node\d+|pod-.+)$/.test(name.slice(prefix.length + 1)),
  };
}

/** The lab that is meant where none is named. */
export const usualLab = "lab";

/** The command line that does something to a lab, for people to copy. @param words e.g. `node add`. */
export function labCommand(lab: string, words: string): string {
  return `portolan lab ${words}${lab === usualLab ? "" : ` --name ${lab}`}`;
}
