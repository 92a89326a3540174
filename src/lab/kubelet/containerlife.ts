/** The life of one container: started, probed, started again, ended. */
import type { Clock } from "../../telemetry/clock.ts";
import { errorText } from "../../telemetry/log.ts";
import type { RunningContainer } from "../pods/host.ts";
import { act, type Sandbox } from "./actions.ts";
import type { Action, Pod, PodContainer, Probe } from "./pod.ts";
import { judge, nextQuestion, restartDelay } from "./probing.ts";
import type { ContainerReport, ContainerState } from "./status.ts";

/** What a container's life needs. */
export interface LifeParts {
  readonly sandbox: Sandbox;
  readonly clock: Clock;
  readonly restartPolicy: Pod["restartPolicy"];
  /** Milliseconds that it has to end where a probe wants it started anew. */
  readonly grace: number;
  /** Everything that it has in its environment. Rejects with an Error with a sentence if something is missing. */
  readonly environment: (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
  readonly start: (sandbox: Sandbox) => RunningContainer;
  /** Called after every change of the report. */
  readonly changed: () => void;
  /** Told of what people want to see as events. */
  readonly note: (reason: string, message: string) => void;
}

/** A container that ran so long begins with short pauses again. */
const longLife = 600_000;
/** Milliseconds between two looks for what its environment needs. */
const configPause = 1000;

/** One container, from the first start to the last end. */
export class ContainerLife {
  readonly container: PodContainer;
  readonly #parts: LifeParts;
  /** Aborted when it is not to be started again. */
  readonly #leave = new AbortController();
  #state: ContainerState = { type: "waiting", reason: "ContainerCreating" };
  #previous: ContainerState | undefined;
  #ready = false;
  #started = false;
  #restarts = 0;
  #running: RunningContainer | undefined;
  /** Where it runs, with its own environment once it has one. */
  #sandbox: Sandbox;
  readonly #begun = Promise.withResolvers<void>();

  constructor(container: PodContainer, parts: LifeParts) {
    this.container = container;
    this.#parts = parts;
    this.#sandbox = parts.sandbox;
  }

  get report(): ContainerReport {
    return {
      container: this.container,
      state: this.#state,
      ready: this.#ready,
      started: this.#started,
      restarts: this.#restarts,
      ...(this.#previous !== undefined && { previous: this.#previous }),
    };
  }

  /** Settles once it has begun, past its startup probe, or never will. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  /** Runs it until it has ended for good. @returns the last exit status. */
  async run(): Promise<number> {
    const { clock, restartPolicy, changed } = this.#parts;
    const { signal } = this.#leave;
    for (let pauses = 0; ; pauses++) {
      const delay = restartDelay(pauses);
      if (delay > 0) {
        const message = `back-off ${delay / 1000}s restarting container ${this.container.name}`;
        this.#parts.note("BackOff", message);
        this.#show({ type: "waiting", reason: "CrashLoopBackOff", message });
        await clock.sleep(delay, signal);
      }
      if (signal.aborted || !(await this.#prepare())) return this.#exitCode();
      const since = clock.now();
      const code = await this.#once(since);
      this.#show({ type: "terminated", code, since, until: clock.now() });
      if (signal.aborted || restartPolicy === "Never" || (restartPolicy === "OnFailure" && code === 0)) return code;
      this.#restarts++;
      this.#previous = this.#state;
      if (clock.now() - since > longLife) pauses = -1;
      changed();
    }
  }

  /** Ends it: the hook before the end, then a kind word, and when `kill` is aborted without more ado. */
  async end(kill: AbortSignal): Promise<void> {
    this.#leave.abort();
    this.#begun.resolve();
    const running = this.#running;
    if (running === undefined) return;
    this.#parts.note("Killing", `Stopping container ${this.container.name}`);
    const { preStop } = this.container;
    if (preStop !== undefined && !kill.aborted) await this.#hook("PreStop", preStop, kill);
    await finish(running, kill);
  }

  /** Waits until all is there that its environment needs. @returns false if it is to begin no more. */
  async #prepare(): Promise<boolean> {
    const { clock, environment, sandbox, note } = this.#parts;
    const { signal } = this.#leave;
    while (!signal.aborted) {
      try {
        this.#sandbox = { ...sandbox, environment: await environment(signal) };
        break;
      } catch (error) {
        if (signal.aborted) break;
        const message = errorText(error);
        note("Failed", `Error: ${message}`);
        this.#show({ type: "waiting", reason: "CreateContainerConfigError", message });
        await clock.sleep(configPause, signal);
      }
    }
    return !signal.aborted;
  }

  async #once(since: number): Promise<number> {
    const { container } = this;
    const probing = new AbortController();
    const running = this.#parts.start(this.#sandbox);
    this.#running = running;
    this.#started = container.startup === undefined && container.postStart === undefined;
    if (this.#started) this.#begun.resolve();
    this.#ready = this.#started && container.readiness === undefined;
    this.#show({ type: "running", since });
    this.#parts.note("Started", `Started container ${container.name}`);
    void this.#probe(running, probing.signal);
    const code = await running.ended;
    probing.abort();
    this.#running = undefined;
    this.#ready = false;
    this.#started = false;
    return code;
  }

  /** Runs the hook after the start, asks the startup probe until it passes, then the other two for ever. */
  async #probe(running: RunningContainer, signal: AbortSignal): Promise<void> {
    const { postStart, startup, liveness, readiness } = this.container;
    if (postStart !== undefined && !(await this.#hook("PostStart", postStart, signal))) {
      if (!signal.aborted) this.#restart(running, "its PostStart hook");
      return;
    }
    if (startup !== undefined) {
      const passed = new AbortController();
      await this.#ask("Startup", startup, false, AbortSignal.any([signal, passed.signal]), (passing) => {
        if (passing) passed.abort();
        else this.#restart(running, "startup probe");
      });
      if (signal.aborted) return;
    }
    if (!this.#started) {
      this.#started = true;
      this.#ready = readiness === undefined;
      this.#begun.resolve();
      this.#parts.changed();
    }
    if (readiness !== undefined) {
      void this.#ask("Readiness", readiness, false, signal, (passing) => {
        if (this.#ready === passing) return;
        this.#ready = passing;
        this.#parts.changed();
      });
    }
    if (liveness !== undefined) {
      void this.#ask("Liveness", liveness, true, signal, (passing) => {
        if (!passing) this.#restart(running, "liveness probe");
      });
    }
  }

  /** Asks one probe for ever; `verdict` is told when it turns, and of the first failure that counts where it began with none. */
  async #ask(
    kind: string,
    probe: Probe,
    passing: boolean,
    signal: AbortSignal,
    verdict: (passing: boolean) => void,
  ): Promise<void> {
    const { clock, note } = this.#parts;
    const sandbox = this.#sandbox;
    let current = { passing, streak: 0 };
    let failures = 0;
    let everPassed = kind !== "Readiness";
    // Whoever has just begun may not listen yet, and is not to be ended for that.
    const first = kind === "Liveness" ? Math.max(probe.initialDelay, Math.min(probe.period, 1000)) : probe.initialDelay;
    await clock.sleep(first, signal);
    while (!signal.aborted) {
      let success = true;
      try {
        const limit = AbortSignal.any([signal, AbortSignal.timeout(probe.timeout)]);
        await act(probe.action, this.container, sandbox, limit);
      } catch (error) {
        success = false;
        if (!signal.aborted && everPassed) note("Unhealthy", `${kind} probe failed: ${errorText(error)}`);
      }
      if (signal.aborted) return;
      everPassed ||= success;
      failures = success ? 0 : failures + 1;
      const before = current.passing;
      current = judge(current, success, probe);
      // A startup probe begins without a yes: its failures are counted from there.
      if (current.passing !== before || (kind === "Startup" && failures >= probe.failureThreshold)) {
        verdict(current.passing);
      }
      await clock.sleep(nextQuestion(probe, everPassed), signal);
    }
  }

  #restart(running: RunningContainer, why: string): void {
    this.#parts.note("Killing", `Container ${this.container.name} failed ${why}, will be restarted`);
    void finish(running, AbortSignal.timeout(this.#parts.grace));
  }

  /** @returns whether it did what it should. */
  async #hook(kind: "PostStart" | "PreStop", action: Action, signal: AbortSignal): Promise<boolean> {
    try {
      await act(action, this.container, this.#sandbox, signal);
      return true;
    } catch (error) {
      if (!signal.aborted) this.#parts.note(`Failed${kind}Hook`, `${kind}Hook failed: ${errorText(error)}`);
      return false;
    }
  }

  #show(state: ContainerState): void {
    this.#state = state;
    this.#parts.changed();
  }

  #exitCode(): number {
    const { type } = this.#state;
    if (type === "terminated") return this.#state.code;
    // It was to begin, or to begin again, and will not.
    const now = this.#parts.clock.now();
    this.#show(this.#previous ?? { type: "terminated", code: 0, since: now, until: now });
    return 0;
  }
}

/** Asks a container to end, and ends it when `kill` is aborted. */
async function finish(running: RunningContainer, kill: AbortSignal): Promise<void> {
  if (!kill.aborted) running.terminate();
  const end = () => running.kill();
  kill.addEventListener("abort", end, { once: true });
  if (kill.aborted) end();
  await running.ended;
  kill.removeEventListener("abort", end);
}
