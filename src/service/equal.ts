/** Structural equality of plain data. */

/**
 * True if two values of plain data (primitives, arrays, objects of such) say the same. A property that is undefined
 * equals one that is absent. Shared parts are compared by identity first, so what did not change costs next to nothing.
 */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]));
  }
  if (Array.isArray(b)) return false;
  return contains(a, b) && contains(b, a);
}

function contains(a: object, b: object): boolean {
  for (const key in a) {
    if (!equal(a[key as keyof typeof a], b[key as keyof typeof b])) return false;
  }
  return true;
}
