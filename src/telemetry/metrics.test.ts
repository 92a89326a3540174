import assert from "node:assert/strict";
import test from "node:test";
import { exponentialBuckets, linearBuckets, Registry } from "./metrics.ts";
import { registerProcessMetrics } from "./processmetrics.ts";

test("the text has help with stability, type and samples, ordered by name", () => {
  const registry = new Registry();
  const gauge = registry.gauges({ name: "b_value", help: "A back\\slash\nand a line.", labels: ["family", "what"] });
  gauge.labels("IPv4", 'a"b\\c\nd').set(1.5);
  registry.counter({ name: "a_total", help: "Things.", stability: "ALPHA" }).add(2);
  registry.counters({ name: "c_total", help: "Nothing yet.", labels: ["x"] });
  assert.equal(
    registry.text(),
    `# HELP a_total [ALPHA] Things.
# TYPE a_total counter
a_total 2
# HELP b_value A back\\\\slash\\nand a line.
# TYPE b_value gauge
b_value{family="IPv4",what="a\\"b\\\\c\\nd"} 1.5
`,
  );
});

test("a histogram counts cumulatively, limits included", () => {
  const registry = new Registry();
  const metric = registry.histograms({ name: "t_seconds", help: "T.", labels: ["f"], buckets: [0, 0.5, 1] });
  const histogram = metric.labels("x");
  for (const value of [0, 0.5, 0.6, 7]) histogram.observe(value);
  assert.equal(
    registry.text(),
    `# HELP t_seconds T.
# TYPE t_seconds histogram
t_seconds_bucket{f="x",le="0"} 1
t_seconds_bucket{f="x",le="0.5"} 2
t_seconds_bucket{f="x",le="1"} 3
t_seconds_bucket{f="x",le="+Inf"} 4
t_seconds_sum{f="x"} 8.1
t_seconds_count{f="x"} 4
`,
  );
});

test("values are calculated when the text is asked for", () => {
  const registry = new Registry();
  let value = 1;
  const gauge = registry.gauge({ name: "g", help: "G.", calculate: () => gauge.set(value) });
  assert.match(registry.text(), /^g 1$/m);
  value = 2;
  assert.match(registry.text(), /^g 2$/m);
});

test("wrong use is refused", () => {
  const registry = new Registry();
  registry.counter({ name: "a", help: "A." });
  assert.throws(() => registry.counter({ name: "a", help: "A." }), /registered twice/);
  assert.throws(() => registry.counter({ name: "a-b", help: "A." }), /not a name/);
  assert.throws(() => registry.gauges({ name: "b", help: "B.", labels: ["x"] }).labels(), /has 1 labels, got 0/);
});

test("buckets are made as Prometheus' clients make them", () => {
  assert.deepEqual(exponentialBuckets(1, 2, 4), [1, 2, 4, 8]);
  assert.deepEqual(linearBuckets(60, 5, 3), [60, 65, 70]);
});

test("process metrics have plausible values", () => {
  const registry = new Registry();
  const stop = registerProcessMetrics(registry);
  const text = registry.text();
  stop();
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
  assert.ok(value("process_resident_memory_bytes") > 10e6);
  assert.ok(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
  assert.ok(value("process_cpu_seconds_total") > 0);
  assert.ok(value("process_open_fds") >= 3);
  assert.ok(Math.abs(value("process_start_time_seconds") - Date.now() / 1000) < 3600);
  assert.match(text, new RegExp(`nodejs_version_info{version="${process.version}"} 1`));
});
