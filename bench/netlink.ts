/** What changes of an nf_tables rule set cost through netlink. Needs root; works in a network namespace of its own. */
import * as ffi from "../src/kernel/ffi.ts";
import {
  concatKey,
  hostU32Bytes,
  keyLayout,
  listElements,
  openNftables,
  Transaction,
  typeOf,
  typeofLayout,
  typeofNumgen,
  u16Bytes,
  u32Bytes,
  valueData,
} from "../src/kernel/nftables/index.ts";

/** One line of the result: what was done, how long it took. */
export interface Measurement {
  readonly name: string;
  /** Microseconds. */
  readonly median: number;
  readonly p99: number;
  readonly runs: number;
}

const slots = { family: "ip", table: "bench", set: "slots" } as const;

function key(number: number): Uint8Array {
  return concatKey([u32Bytes(0x0a000000 + number), Uint8Array.of(6), u16Bytes(80), hostU32Bytes(0)]);
}

function endpoint(number: number): Uint8Array {
  return concatKey([u32Bytes(0x0b000000 + number), u16Bytes(8080)]);
}

function summarize(name: string, microseconds: number[]): Measurement {
  microseconds.sort((a, b) => a - b);
  const at = (part: number) =>
    microseconds[Math.min(microseconds.length - 1, Math.floor(part * microseconds.length))] ?? 0;
  return { name, median: at(0.5), p99: at(0.99), runs: microseconds.length };
}

function measure(name: string, runs: number, run: (i: number) => void): Measurement {
  const times: number[] = [];
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    run(i);
    times.push((performance.now() - start) * 1000);
  }
  return summarize(name, times);
}

/**
 * Measures, with so many elements in the map: loading them, changing one endpoint (delete and add of an element in one
 * transaction), reading all. Moves the calling thread into a new network namespace.
 */
export function benchNetlink(elements = 100_000): Measurement[] {
  ffi.unshare(ffi.CLONE.newnet);
  using socket = openNftables();
  const transaction = new Transaction(1 << 20);
  const results: Measurement[] = [];
  const keys = Array.from({ length: elements }, (_, i) => key(i));
  const values = Array.from({ length: elements }, (_, i) => endpoint(i));
  const other = endpoint(0xffff);
  const load = () => {
    transaction.addTable({ family: "ip", table: "bench" });
    transaction.addSet({
      ...slots,
      key: typeofLayout(typeOf("ip daddr"), typeOf("meta l4proto"), typeOf("th dport"), typeofNumgen("random", 2)),
      data: valueData(keyLayout("ipv4_addr", "inet_service")),
      size: 2 * elements,
    });
    for (let i = 0; i < elements; i++) transaction.addElement(slots, keys[i] as Uint8Array, values[i]);
  };
  const encoding: number[] = [];
  const committing: number[] = [];
  for (let i = 0; i < 7; i++) {
    transaction.deleteTable(slots, "destroy");
    transaction.commit(socket);
    const start = performance.now();
    load();
    const encoded = performance.now();
    transaction.commit(socket);
    encoding.push((encoded - start) * 1000);
    committing.push((performance.now() - encoded) * 1000);
  }
  results.push(
    summarize(`encode ${elements} elements`, encoding),
    summarize(`commit ${elements} elements`, committing),
  );
  const change = (i: number) => {
    const changed = keys[(i * 7919) % elements] as Uint8Array;
    transaction.deleteElement(slots, changed);
    transaction.addElement(slots, changed, other);
  };
  measure("warm up", 20_000, (i) => {
    change(i);
    transaction.commit(socket);
  });
  results.push(
    measure("encode one endpoint's change", 20_000, (i) => {
      change(i);
      transaction.clear();
    }),
    measure("change one endpoint", 50_000, (i) => {
      change(i);
      transaction.commit(socket);
    }),
    measure(`read ${elements} elements`, 5, () => listElements(socket, slots)),
  );
  return results;
}

if (import.meta.main) {
  for (const { name, median, p99, runs } of benchNetlink(Number(process.argv[2] ?? 100_000))) {
    console.log(`${name}: median ${median.toFixed(1)} us, p99 ${p99.toFixed(1)} us (${runs} runs)`);
  }
}
