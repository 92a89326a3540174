/**
 * The node agent: everything of the service proxy put together for one configuration, and changed for another one
 * while the kernel's rules go on serving.
 */
import { hostname } from "node:os";
import { type Family, isUnspecified } from "../net/address.ts";
import { tryParseHostPort } from "../net/protocol.ts";
import type { Clock } from "../telemetry/clock.ts";
import { type HttpHandler, listenHttp, router } from "../telemetry/http.ts";
import { errorText, type LogWriter } from "../telemetry/log.ts";
import { Registry } from "../telemetry/metrics.ts";
import { registerProcessMetrics } from "../telemetry/processmetrics.ts";
import { configurationNotes, policyOptions, syncConfiguration } from "./config/effective.ts";
import type { AgentOptions } from "./config/options.ts";
import { parseSloppyAddress } from "./config/sloppy.ts";
import type { KubeProxyConfiguration } from "./config/types.ts";
import { EventPoster, type EventRecorder, type EventSubject, logEvents } from "./events.ts";
import { setUpHost } from "./hostsetup.ts";
import { Inputs } from "./inputs.ts";
import { type Leftover, leftoversBeside, retireLeftovers, retireUntilGone } from "./leftovers.ts";
import { conntrackCleaner, hostAddresses, servedFamilies } from "./machine.ts";
import { chooseMode } from "./modes/index.ts";
import type { Mode, ModeFactory } from "./modes/mode.ts";
import { Runner, type RunnerOptions } from "./runner.ts";
import { type OpenSource, openSource } from "./source.ts";
import { healthRoutes, ProxyHealth } from "./status/health.ts";
import {
  registerBuildInfo,
  registerClientMetrics,
  registerFeatures,
  registerIptablesCounters,
  registerProxyMetrics,
} from "./status/metrics.ts";
import { statusPages } from "./status/pages.ts";
import { healthCheckHosts, ServiceHealthServers } from "./status/servicehealth.ts";

/** What an agent is given. */
export interface AgentParts {
  /** The modes to choose from, the best first. */
  readonly factories: readonly ModeFactory[];
  /** What beside other modes may have been left in the kernel. */
  readonly leftovers: readonly Leftover[];
  readonly log: LogWriter;
  readonly clock: Clock;
  /** Of this program. */
  readonly version: string;
  /** The command line's flags with their values, for the page that shows them. */
  readonly flags: Readonly<Record<string, string>>;
}

/** Milliseconds that programming once waits for the objects: nobody looks after it. */
const patience = 60_000;

/** A configuration at work. */
interface Session extends OpenSource {
  readonly config: KubeProxyConfiguration;
  readonly mode: Mode;
  /** Services are served only as long as this process runs. */
  readonly needsProcess: boolean;
  readonly nodeName: string;
  readonly signal: AbortSignal;
}

/** The agent. Metrics and health live as long as it does, through changes of its configuration. */
export class Agent {
  readonly #parts: AgentParts;
  readonly #registry = new Registry();
  readonly #slis = new Registry();
  readonly #metrics = registerProxyMetrics(this.#registry);
  readonly #setFeatures = registerFeatures(this.#registry);
  readonly #onResponse = registerClientMetrics(this.#registry);
  readonly #health: ProxyHealth;
  readonly #started: number;
  #events: EventRecorder;
  #mode = "";

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#started = parts.clock.now();
    this.#events = logEvents(parts.log);
    this.#health = new ProxyHealth(parts.clock, 60_000);
    registerBuildInfo(this.#registry, parts.version);
    registerIptablesCounters(this.#registry, () => this.#mode === "iptables");
    const healthy = this.#slis.gauges({
      name: "kubernetes_healthcheck",
      help: "Whether a health check succeeds.",
      labels: ["name", "type"],
      stability: "STABLE",
      calculate: () => healthy.labels("proxy", "livez").set(this.#health.check().healthy ? 1 : 0),
    });
  }

  /**
   * Serves with one configuration after the other until the signal is aborted: the kernel's rules stay in place then.
   *
   * @param next resolves with the next configuration, which is taken over while the rules of the old one serve.
   * @throws what makes serving impossible: no mode, no port (if that is to be fatal), no way to an API server.
   */
  async serve(options: AgentOptions, next: () => Promise<AgentOptions>, signal: AbortSignal): Promise<void> {
    const stopMeasuring = registerProcessMetrics(this.#registry);
    try {
      let current: AgentOptions | undefined = options;
      while (current !== undefined && !signal.aborted) current = await this.#serveOne(current, next, signal);
    } finally {
      stopMeasuring();
    }
  }

  /**
   * Programs the kernel once.
   *
   * @throws if that failed, or if the mode serves only as long as the program runs, or, before anything is changed, if a
   *   manifest is refused.
   */
  async once(options: AgentOptions, signal: AbortSignal): Promise<void> {
    await this.#session(options, signal, async (session) => {
      if (session.needsProcess) {
        throw new Error(
          `mode ${session.mode.name} serves only as long as the program runs: leave --once out, or take another mode`,
        );
      }
      const inputs = this.#inputs(session);
      const runner = this.#runner(session, inputs, async () => {});
      const started = inputs.start(
        (change) => runner.changed(change),
        () => {},
        session.signal,
      );
      await within(patience, started, `${session.origin} has not told all objects within ${patience / 1000} s`);
      const problems = session.problems();
      if (problems.length > 0) {
        throw new Error(`nothing is programmed, manifests are refused:\n  ${problems.join("\n  ")}`);
      }
      await runner.once(session.signal);
      const { size } = inputs.state.decisions;
      this.#parts.log.info("Kernel programmed once", { mode: session.mode.name, servicePorts: size });
      await retireLeftovers(this.#leftoversBeside(options, session), this.#parts.log);
    });
  }

  /** Tells users that a new configuration is not taken over. */
  refused(error: unknown): void {
    this.#events.record({
      type: "Warning",
      reason: "ConfigurationRefused",
      action: "Reload",
      note: `The changed configuration is refused, the old one goes on serving: ${errorText(error)}`,
    });
  }

  /** Serves with one configuration. @returns the next one, or undefined when the signal was aborted. */
  async #serveOne(
    options: AgentOptions,
    next: () => Promise<AgentOptions>,
    signal: AbortSignal,
  ): Promise<AgentOptions | undefined> {
    const stop = new AbortController();
    const until = AbortSignal.any([signal, stop.signal]);
    const session = this.#session(options, until, (parts) => this.#serveSession(options, parts));
    try {
      return await Promise.race([session.then(() => undefined), next()]);
    } finally {
      stop.abort();
      await session.catch(() => {});
    }
  }

  async #session(options: AgentOptions, signal: AbortSignal, work: (session: Session) => Promise<void>): Promise<void> {
    const { log, clock, factories, version } = this.#parts;
    const { config } = options;
    const { factory, passedOver } = await chooseMode(config.mode, factories);
    for (const { name, missing } of passedOver) log.warn("Mode cannot be used here", { mode: name, missing });
    for (const note of configurationNotes(config, factory.name)) log.debug(1, note);
    setUpHost(config, log);
    const nodeName = config.hostnameOverride || hostname().toLowerCase();
    const stop = new AbortController();
    const all = AbortSignal.any([signal, stop.signal]);
    const mode = await factory.create();
    try {
      const opened = openSource(options, { log, clock, version, onResponse: this.#onResponse });
      try {
        log.info("Starting", { version, node: nodeName, mode: factory.name, objectsFrom: opened.origin });
        this.#mode = factory.name;
        const lacking = servedFamilies().filter((family) => !canServe(mode, family));
        if (lacking.length > 0) {
          log.warn("Mode cannot serve a family here, --explain-mode says why", { mode: factory.name, lacking });
        }
        const needsProcess = factory.needsProcess === true;
        await work({ ...opened, config, mode, needsProcess, nodeName, signal: all });
      } finally {
        stop.abort();
        await opened.client?.destroy();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      mode.close();
    }
  }

  async #serveSession(options: AgentOptions, session: Session): Promise<void> {
    const { config, mode, signal } = session;
    this.#setFeatures(config.featureGates);
    this.#health.setTimeout(2 * syncConfiguration(config, mode.name).syncPeriod);
    const inputs = this.#inputs(session);
    this.#events = this.#eventRecorder(session, inputs);
    const closing = [
      await this.#listen("health", config.healthzBindAddress, router(this.#healthRoutes()), session),
      await this.#listen("metrics", config.metricsBindAddress, this.#pages(config), session),
    ];
    const servers = this.#serviceHealth(session);
    let retiring: Promise<void> | undefined;
    try {
      const listenWhereNodePortsAnswer = () => servers.setHosts(healthCheckHosts(inputs.settings), signal);
      const runner = this.#runner(session, inputs, async (checks) => {
        await listenWhereNodePortsAnswer();
        await servers.apply(checks, signal);
      });
      await inputs.start(
        (change) => {
          runner.changed(change);
          if (change === "settings") void listenWhereNodePortsAnswer();
        },
        (node) => this.#health.setNode(node),
        signal,
      );
      await runner.run(() => {
        this.#events.record({
          type: "Normal",
          reason: "Starting",
          action: "StartProxy",
          note: `Service proxy serves in mode ${mode.name}, ${inputs.state.decisions.size} service ports`,
        });
        retiring = retireUntilGone(this.#leftoversBeside(options, session), this.#parts, signal);
      }, signal);
    } finally {
      // The next mode may be one of those that are being removed.
      await retiring;
      await Promise.all([servers.close(), ...closing.map((listener) => listener?.close())]);
    }
  }

  #inputs({ config, mode, source, client, nodeName }: Session): Inputs {
    const { clock, log } = this.#parts;
    const bindAddress = parseSloppyAddress(config.bindAddress);
    return new Inputs({
      source,
      nodeName,
      expectNode: client !== undefined,
      bindAddress: bindAddress === undefined || isUnspecified(bindAddress) ? undefined : bindAddress,
      families: servedFamilies().filter((family) => canServe(mode, family)),
      addresses: hostAddresses(log),
      options: policyOptions(config, mode.name),
      clock,
      log,
    });
  }

  #runner({ config, mode }: Session, inputs: Inputs, onHealthChecks: RunnerOptions["onHealthChecks"]): Runner {
    const { syncPeriod, minSyncPeriod } = syncConfiguration(config, mode.name);
    return new Runner({
      inputs,
      mode,
      syncPeriod,
      minSyncPeriod,
      clock: this.#parts.clock,
      log: this.#parts.log,
      health: this.#health,
      metrics: this.#metrics,
      events: { record: (event) => this.#events.record(event) },
      conntrack: conntrackCleaner,
      onHealthChecks,
    });
  }

  #serviceHealth({ nodeName }: Session): ServiceHealthServers {
    const { log, clock } = this.#parts;
    return new ServiceHealthServers({
      log,
      clock,
      isHealthy: () => this.#health.check().healthy,
      onFailure: ({ namespace, name, port }, error) =>
        this.#events.record({
          type: "Warning",
          reason: "FailedToStartServiceHealthcheck",
          action: "Listen",
          note: `node ${nodeName} failed to start healthcheck "${namespace}/${name}" on port ${port}: ${error.message}`,
          regarding: { apiVersion: "v1", kind: "Service", namespace, name, uid: `${namespace}/${name}` },
        }),
    });
  }

  #eventRecorder({ client, nodeName, signal }: Session, inputs: Inputs): EventRecorder {
    const { log, clock } = this.#parts;
    if (client === undefined) return logEvents(log);
    const node = (): EventSubject => ({
      apiVersion: "v1",
      kind: "Node",
      namespace: "",
      name: nodeName,
      uid: inputs.node?.uid ?? nodeName,
    });
    const post: ConstructorParameters<typeof EventPoster>[0]["post"] = (path, body, stop) =>
      client.send({ method: "POST", path, body }, stop);
    return new EventPoster({ post, clock, log, node, skipped: this.#metrics.eventsSkipped, signal });
  }

  #healthRoutes() {
    return healthRoutes(this.#health, this.#parts.clock, this.#metrics);
  }

  #pages(config: KubeProxyConfiguration): HttpHandler {
    const { log, clock, version, flags } = this.#parts;
    return statusPages({
      registry: this.#registry,
      slis: this.#slis,
      config: () => config,
      mode: () => this.#mode,
      flags,
      log,
      version,
      now: () => clock.now(),
      started: this.#started,
    });
  }

  async #listen(name: string, address: string, handler: HttpHandler, { config, signal }: Session) {
    const at = tryParseHostPort(address);
    if (at === undefined) return undefined;
    const { log, clock } = this.#parts;
    const host = parseSloppyAddress(at.host) ?? at.host;
    return listenHttp({ name, host, port: at.port, handler, log, clock, hardFail: config.bindAddressHardFail }, signal);
  }

  #leftoversBeside({ keepLeftovers }: AgentOptions, { mode }: Session): readonly Leftover[] {
    const { factories, leftovers } = this.#parts;
    return keepLeftovers ? [] : leftoversBeside(mode.name, factories, leftovers);
  }
}

function canServe({ families: served }: Mode, family: Family): boolean {
  return served?.includes(family) ?? true;
}

/** Waits so many milliseconds at most. @throws an Error with these words, if that was too short. */
async function within<T>(milliseconds: number, work: Promise<T>, words: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(words)), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
