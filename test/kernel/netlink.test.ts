import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as ffi from "../../src/kernel/ffi.ts";
import {
  findGenericFamily,
  isAlreadyExists,
  isNotFound,
  isSystemError,
  messageFlags,
  NetlinkError,
  NetlinkListener,
  NetlinkSocket,
  protocols,
  SystemError,
} from "../../src/kernel/netlink/index.ts";

// This process gets a network namespace of its own, which goes with it.
ffi.unshare(ffi.CLONE.newnet);
const socket = new NetlinkSocket(protocols.route);
after(() => socket.close());

const getLink = 18;
const newLink = 16;
const deleteLink = 17;
const linkGroup = 1;

function listLinks(): string[] {
  return socket.dump(
    "list links",
    getLink,
    (writer) => writer.bytes(new Uint8Array(16)),
    (message) => linkName(message.attributes(16)),
  );
}

function linkName(attributes: { next(): boolean; readonly type: number; string(): string }): string | undefined {
  while (attributes.next()) if (attributes.type === 3) return attributes.string();
  return undefined;
}

function addBridge(name: string): void {
  socket.request(`add link ${name}`, newLink, messageFlags.create | messageFlags.exclusive, (writer) => {
    writer.bytes(new Uint8Array(16));
    writer.attributeString(3, name);
    const info = writer.beginNested(18);
    writer.attributeString(1, "bridge");
    writer.endNested(info);
  });
}

function removeLink(name: string): void {
  socket.request(`delete link ${name}`, deleteLink, 0, (writer) => {
    writer.bytes(new Uint8Array(16));
    writer.attributeString(3, name);
  });
}

describe("a netlink socket", () => {
  test("reads what is there, and changes it", () => {
    assert.deepEqual(listLinks(), ["lo"]);
    addBridge("br7");
    assert.deepEqual(listLinks(), ["lo", "br7"]);
    removeLink("br7");
    assert.deepEqual(listLinks(), ["lo"]);
  });

  test("reads lists of many datagrams", () => {
    const address = (i: number) => Uint8Array.of(127, 1, i >> 8, i & 255);
    for (let i = 0; i < 1000; i++) {
      socket.request("add address", 20, messageFlags.create, (writer) => {
        writer.bytes(Uint8Array.of(ffi.AF.inet, 32, 0, 254, 1, 0, 0, 0));
        writer.attributeBytes(2, address(i));
      });
    }
    const found = socket.dump(
      "list addresses",
      22,
      (writer) => writer.bytes(Uint8Array.of(ffi.AF.inet, 0, 0, 0, 0, 0, 0, 0)),
      (message) => {
        for (const a = message.attributes(8); a.next(); ) if (a.type === 2) return a.bytes().join(".");
        return undefined;
      },
    );
    assert.deepEqual(new Set(found), new Set(Array.from({ length: 1000 }, (_, i) => address(i).join("."))));
  });

  test("says which request was refused, why, and which kind of error that is", () => {
    addBridge("br7");
    assert.throws(
      () => addBridge("br7"),
      (error) => {
        assert.ok(error instanceof NetlinkError && isAlreadyExists(error));
        assert.equal(error.request, "add link br7");
        return true;
      },
    );
    removeLink("br7");
    assert.throws(() => removeLink("br7"), isNotFound);
    assert.throws(
      () =>
        socket.request("add link of no kind", newLink, messageFlags.create, (writer) => {
          writer.bytes(new Uint8Array(16));
          const info = writer.beginNested(18);
          writer.attributeString(1, "no-such-kind");
          writer.endNested(info);
        }),
      { message: "add link of no kind: EOPNOTSUPP: Unknown device type" },
    );
  });

  test("stays in its network namespace when its thread goes to another", () => {
    addBridge("br8");
    ffi.unshare(ffi.CLONE.newnet);
    assert.deepEqual(listLinks(), ["lo", "br8"]);
    using other = new NetlinkSocket(protocols.route);
    const names = other.dump(
      "list links",
      getLink,
      (w) => w.bytes(new Uint8Array(16)),
      (m) => linkName(m.attributes(16)),
    );
    assert.deepEqual(names, ["lo"]);
    removeLink("br8");
  });

  test("finds generic families by name", () => {
    using generic = new NetlinkSocket(protocols.generic);
    const family = findGenericFamily(generic, "nlctrl");
    assert.equal(family?.id, 16);
    assert.ok(family.groups.has("notify"));
    assert.equal(findGenericFamily(generic, "no-such-family"), undefined);
  });

  test("refuses a family that the kernel lacks, with the call and the error's name", () => {
    assert.throws(
      () => new NetlinkSocket(31),
      (error) => error instanceof SystemError && error.syscall === "socket" && isSystemError(error, "EPROTONOSUPPORT"),
    );
  });
});

describe("a netlink listener", { timeout: 10_000 }, () => {
  // The tests above have moved the thread.
  let here: NetlinkSocket;
  before(() => {
    here = new NetlinkSocket(protocols.route);
  });
  after(() => here.close());
  const change = (name: string, type: number) =>
    here.request(`change ${name}`, type, type === newLink ? messageFlags.create : 0, (writer) => {
      writer.bytes(new Uint8Array(16));
      writer.attributeString(3, name);
      const info = writer.beginNested(18);
      writer.attributeString(1, "bridge");
      writer.endNested(info);
    });

  test("gives events as they come, until its signal aborts", async () => {
    using listener = new NetlinkListener(protocols.route, [linkGroup]);
    const stop = new AbortController();
    setTimeout(() => change("br1", newLink), 5);
    setTimeout(() => change("br1", deleteLink), 20);
    const seen: string[] = [];
    for await (const event of listener.events(stop.signal)) {
      assert.equal(event.kind, "messages");
      while (event.messages.next()) {
        const name = linkName(event.messages.attributes(16));
        seen.push(`${event.messages.type === newLink ? "new" : "gone"} ${name}`);
        if (event.messages.type === deleteLink) setTimeout(() => stop.abort(), 5);
      }
    }
    assert.equal(seen[0], "new br1");
    assert.equal(seen.at(-1), "gone br1");
  });

  test("calls back for events that came before it was listened to", async () => {
    using listener = new NetlinkListener(protocols.route, [linkGroup]);
    change("br2", newLink);
    change("br2", deleteLink);
    const types: number[] = [];
    await new Promise<void>((resolve) => {
      listener.listen((event) => {
        if (event.kind === "messages") {
          while (event.messages.next()) types.push(event.messages.type);
        }
        if (types.at(-1) === deleteLink) resolve();
      });
    });
    assert.equal(types[0], newLink);
  });

  test("says when events were lost, and goes on", async () => {
    using listener = new NetlinkListener(protocols.route, [linkGroup], { receiveBuffer: 4096 });
    for (let i = 0; i < 8; i++) {
      change("br3", newLink);
      change("br3", deleteLink);
    }
    const kinds: string[] = [];
    const stop = AbortSignal.timeout(5000);
    let later = false;
    for await (const event of listener.events(stop)) {
      kinds.push(event.kind);
      if (later && event.kind === "messages") break;
      if (event.kind === "overrun" && !later) {
        // Drained by now or soon: the next change must arrive.
        setTimeout(() => {
          later = true;
          change("br4", newLink);
        }, 20);
      }
    }
    assert.ok(kinds.includes("overrun"), kinds.join(" "));
    assert.ok(later);
    assert.equal(stop.aborted, false, "no event came after the loss");
    change("br4", deleteLink);
  });

  test("calls back with a loss, and goes on", async () => {
    using listener = new NetlinkListener(protocols.route, [linkGroup], { receiveBuffer: 4096 });
    const kinds: string[] = [];
    let wake: (() => void) | undefined;
    listener.listen((event) => {
      kinds.push(event.kind);
      wake?.();
    });
    for (let i = 0; i < 8; i++) {
      change("br5", newLink);
      change("br5", deleteLink);
    }
    while (!kinds.includes("overrun"))
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    await new Promise((resolve) => setTimeout(resolve, 20));
    kinds.length = 0;
    change("br6", newLink);
    change("br6", deleteLink);
    while (kinds.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    assert.equal(kinds[0], "messages");
  });
});
