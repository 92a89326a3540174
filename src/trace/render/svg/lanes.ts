/** One way of a walk as lanes and cells: who looked at the packet in which place and hook. Pure, and without sizes. */
import { formatVerdict } from "../../../kernel/nftables/index.ts";
import { formatHostPort } from "../../../net/protocol.ts";
import type { Packet, Step } from "../../walk/index.ts";
import { hasPorts } from "../../walk/packet.ts";
import type { PlaceRole } from "../../walk/state.ts";

/** The columns of the picture, from left to right. */
export const columns = ["prerouting", "input", "forward", "output", "postrouting"] as const;

/** A column. */
export type Column = (typeof columns)[number];

/** How a line of a cell is shown. */
export type Tone = "plain" | "place" | "change" | "stop" | "doubt" | "quiet";

/** A line of text. */
export interface Line {
  readonly text: string;
  readonly tone: Tone;
}

/** A hook that the packet passes. */
export interface Cell {
  readonly column: Column;
  readonly packet: Packet;
  /** What of the header is not as in the cell before. */
  readonly changed: ReadonlySet<"source" | "destination" | "mark">;
  readonly lines: Line[];
}

/** A place, each time that the packet comes to it. */
export interface Lane {
  readonly place: string;
  readonly role: PlaceRole;
  /** What happens before the first hook, such as the link by which it comes. */
  readonly before: Line[];
  /** Cells whose columns follow each other; where the packet goes back to an earlier one, a new row begins. */
  readonly rows: Cell[][];
  /** How it leaves. */
  readonly after: Line[];
}

/** Sorts steps into lanes. */
export function lanesOf(steps: readonly Step[], start: Pick<Lane, "place" | "role">): readonly Lane[] {
  const lanes: Lane[] = [];
  let lane = open(start);
  lanes.push(lane);
  let cell: Cell | undefined;
  let last: Packet | undefined;
  let path: string[] = [];
  const say = (text: string, tone: Tone) => {
    const line = { text, tone };
    if (cell !== undefined) cell.lines.push(line);
    else if (lane.rows.length > 0) lane.after.push(line);
    else lane.before.push(line);
  };
  const closePath = () => {
    if (path.length > 0) say(path.join(" › "), "quiet");
    path = [];
  };
  for (const step of steps) {
    if (step.kind !== "rule") closePath();
    switch (step.kind) {
      case "place":
        // The first place is there already, under its own name.
        if (step.place === lane.place && lane.rows.length === 0) break;
        lane = open(step);
        lanes.push(lane);
        cell = undefined;
        break;
      case "hook": {
        const column = columns.find((each) => each === step.text);
        if (column === undefined) {
          cell = undefined;
          break;
        }
        cell = { column, packet: step.packet, changed: changesBetween(last, step.packet), lines: [] };
        last = step.packet;
        const row = lane.rows.at(-1);
        const before = row?.at(-1);
        if (row === undefined || before === undefined || columns.indexOf(before.column) >= columns.indexOf(column)) {
          lane.rows.push([cell]);
        } else row.push(cell);
        break;
      }
      case "rule": {
        const { verdict, effects, comment, choice } = step;
        const passes = verdict.kind === "jump" || verdict.kind === "goto";
        if (effects.length === 0 && comment === undefined && choice === undefined) {
          if (passes) path.push(path.length === 0 ? `${step.chain} › ${verdict.chain}` : verdict.chain);
          if (passes || verdict.kind === "continue") break;
        }
        closePath();
        say(`${step.table} ${step.chain} #${step.number}${choice === undefined ? "" : ` [${choice}]`}`, "place");
        if (comment !== undefined) say(`“${comment}”`, "quiet");
        for (const effect of effects) say(effect, "change");
        const stops = verdict.kind === "drop" || verdict.kind === "queue";
        if (verdict.kind !== "continue") say(formatVerdict(verdict), stops ? "stop" : "plain");
        break;
      }
      case "policy":
        if (step.verdict === "drop") say(`${step.table} ${step.chain}: policy drop`, "stop");
        break;
      case "route":
        say(`route: ${step.text}`, "quiet");
        break;
      case "link":
        cell = undefined;
        say(step.text, "plain");
        break;
      case "tracked":
        say(step.direction === "reply" ? "tracked: an answer" : "tracked already", "quiet");
        break;
      case "assumption":
        say(`depends: ${step.text}`, "doubt");
        break;
      case "rewrite":
        say(step.text, "change");
        break;
      case "note":
        say(step.text, "quiet");
        break;
      case "miss":
        break;
    }
  }
  closePath();
  return lanes.filter(({ rows, before, after }) => rows.length + before.length + after.length > 0);
}

function open({ place, role }: Pick<Lane, "place" | "role">): Lane {
  return { place, role, before: [], rows: [], after: [] };
}

function changesBetween(before: Packet | undefined, packet: Packet): Cell["changed"] {
  if (before === undefined) return new Set();
  return new Set(
    (["source", "destination", "mark"] as const).filter((part) =>
      part === "mark" ? before.mark !== packet.mark : endOf(before, part) !== endOf(packet, part),
    ),
  );
}

/** `10.0.0.1:80`; without the port where it is not known, or there is none. */
export function endOf(packet: Packet, end: "source" | "destination"): string {
  const port = end === "source" ? packet.sourcePort : packet.destinationPort;
  return port === undefined || !hasPorts(packet.protocol) ? packet[end] : formatHostPort(packet[end], port);
}
