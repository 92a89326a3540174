import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { DatagramBatch } from "../../src/kernel/datagrams.ts";
import { isSystemError } from "../../src/kernel/errno.ts";
import * as ffi from "../../src/kernel/ffi.ts";
import { listTables, openNftables } from "../../src/kernel/nftables/index.ts";

// This process gets network and mount namespaces of its own, which go with it.
ffi.unshare(ffi.CLONE.newnet | ffi.CLONE.newns);
ffi.mount("none", "/", "", ffi.MS.rec | ffi.MS.private);
bringLoopbackUp();

function bringLoopbackUp(): void {
  const fd = ffi.socket(ffi.AF.inet, ffi.SOCK.dgram | ffi.SOCK.cloexec, 0);
  const request = new Uint8Array(40);
  request.set(Buffer.from("lo"));
  request[16] = 1; // IFF_UP
  ffi.ioctl(fd, 0x8914, request); // SIOCSIFFLAGS
  ffi.close(fd);
}

/** `struct sockaddr_in`. */
function address(port: number, last = 1): Uint8Array {
  return Uint8Array.of(ffi.AF.inet, 0, port >> 8, port & 255, 127, 0, 0, last, 0, 0, 0, 0, 0, 0, 0, 0);
}

function udp(): { fd: number; at: Uint8Array } {
  const fd = ffi.socket(ffi.AF.inet, ffi.SOCK.dgram | ffi.SOCK.cloexec, 0);
  ffi.bind(fd, address(0));
  return { fd, at: ffi.getsockname(fd) };
}

test("a datagram arrives with its sender's address", () => {
  const [a, b] = [udp(), udp()];
  const buffer = new Uint8Array(100);
  const from = new Uint8Array(28);
  assert.equal(ffi.recv(b.fd, buffer, ffi.MSG.dontwait), undefined);
  assert.equal(ffi.sendto(a.fd, Buffer.from("hello"), b.at), 5);
  assert.equal(ffi.recvfrom(b.fd, buffer, from, ffi.MSG.dontwait), 5);
  assert.equal(Buffer.from(buffer.subarray(0, 5)).toString(), "hello");
  assert.deepEqual(from.slice(0, 16), a.at);
  ffi.connect(b.fd, a.at);
  assert.equal(ffi.send(b.fd, Buffer.from("again"), 3), 3);
  assert.equal(ffi.recv(a.fd, buffer), 3);
  for (const { fd } of [a, b]) ffi.close(fd);
});

test("many datagrams go out and come in at once, each to its receiver", () => {
  const [server, ...clients] = [udp(), udp(), udp()];
  const batch = new DatagramBatch(8, 16);
  for (const [i, client] of clients.entries()) {
    ffi.sendto(client.fd, Buffer.from(`from ${i}`), server.at);
  }
  ffi.sendto((clients[0] as { fd: number }).fd, Buffer.from("longer than sixteen bytes"), server.at);
  assert.equal(batch.receive(server.fd), 3);
  const received = [0, 1, 2].map((i) => Buffer.from(batch.datagram(i)).toString());
  assert.deepEqual(received, ["from 0", "from 1", "longer than sixt"]);
  assert.deepEqual(
    [0, 1, 2].map((i) => batch.truncated(i)),
    [false, false, true],
  );
  assert.deepEqual(batch.address(1).slice(0, 16), clients[1]?.at);
  assert.equal(batch.receive(server.fd), 0);

  const answers = new DatagramBatch(2, 16);
  for (const [i, client] of clients.entries()) answers.set(i, Buffer.from(`to ${i}`), client.at);
  assert.equal(answers.send(server.fd, 2), 2);
  const buffer = new Uint8Array(16);
  for (const [i, client] of clients.entries()) {
    assert.equal(ffi.recv(client.fd, buffer, ffi.MSG.dontwait), 4);
    assert.equal(Buffer.from(buffer.subarray(0, 4)).toString(), `to ${i}`);
  }
  assert.throws(() => answers.set(0, new Uint8Array(17)), RangeError);
  assert.throws(() => answers.send(server.fd, 3), RangeError);
  for (const { fd } of [server, ...clients]) ffi.close(fd);
});

test("a watch calls back while a socket is readable, and no more once closed", async () => {
  const [a, b] = [udp(), udp()];
  const buffer = new Uint8Array(10);
  const seen: number[] = [];
  await new Promise<void>((resolve) => {
    const watch = ffi.watch(b.fd, "readable", () => {
      seen.push(ffi.recv(b.fd, buffer) ?? 0);
      if (seen.length < 3) return;
      watch.close();
      resolve();
    });
    for (const length of [1, 2, 3, 4]) ffi.sendto(a.fd, buffer.subarray(0, length), b.at);
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(seen, [1, 2, 3]);
  for (const { fd } of [a, b]) ffi.close(fd);
});

test("options are set and read", () => {
  const { fd } = udp();
  assert.equal(ffi.getsockoptInt(fd, ffi.SOL.socket, ffi.SO.reuseport), 0);
  ffi.setsockopt(fd, ffi.SOL.socket, ffi.SO.reuseport, 1);
  assert.equal(ffi.getsockoptInt(fd, ffi.SOL.socket, ffi.SO.reuseport), 1);
  ffi.close(fd);
});

test("errors name the call and the error", () => {
  assert.throws(() => ffi.close(99_999), { syscall: "close", code: "EBADF" });
  assert.throws(() => ffi.open("/nowhere/at/all", ffi.O.rdonly), {
    syscall: "open",
    code: "ENOENT",
    message: /\/nowhere/,
  });
  assert.throws(
    () => ffi.bind(udp().fd, address(1, 99).fill(9, 4)),
    (error) => isSystemError(error, "EINVAL", "EADDRNOTAVAIL"),
  );
  assert.throws(
    () => ffi.setns(0, ffi.CLONE.newnet),
    (error) => isSystemError(error, "EINVAL", "EBADF"),
  );
  assert.throws(() => ffi.open("/etc\0/passwd", ffi.O.rdonly), TypeError);
  assert.throws(() => ffi.send(0, new Uint8Array(1), 2), RangeError);
});

test("a file system is mounted and unmounted, a file written and read", () => {
  const folder = mkdtempSync(join(tmpdir(), "ptl-ffi-"));
  const outside = statSync(folder).dev;
  ffi.mount("tmpfs", folder, "tmpfs", ffi.MS.nosuid | ffi.MS.nodev, "size=64k");
  assert.notEqual(statSync(folder).dev, outside);
  const fd = ffi.open(join(folder, "file"), ffi.O.creat | ffi.O.rdwr | ffi.O.cloexec);
  assert.equal(ffi.write(fd, Buffer.from("text")), 4);
  ffi.close(fd);
  assert.equal(readFileSync(join(folder, "file"), "utf8"), "text");
  ffi.umount2(folder);
  assert.equal(statSync(folder).dev, outside);
  rmdirSync(folder);
});

test("system calls without a wrapper are made by number", () => {
  const getpid = ffi.syscallNumber({ x64: 39, arm64: 172 });
  assert.equal(ffi.syscall("getpid", getpid), process.pid);
  assert.throws(() => ffi.syscall("close", ffi.syscallNumber({ x64: 3, arm64: 57 }), -1), {
    syscall: "close",
    code: "EBADF",
  });
  const pipe = new Uint8Array(8);
  ffi.syscall("pipe2", ffi.syscallNumber({ x64: 293, arm64: 59 }), ffi.addressOf(pipe), 0);
  const [read, write] = new Uint32Array(pipe.buffer);
  ffi.write(write as number, Buffer.from("x"));
  assert.equal(ffi.read(read as number, new Uint8Array(4)), 1);
  ffi.close(read as number);
  ffi.close(write as number);
});

test("a worker goes to another network namespace alone", async () => {
  const worker = new Worker(new URL("worker.ts", import.meta.url));
  const [tables] = await once(worker, "message");
  assert.deepEqual(tables, ["of-worker"]);
  using socket = openNftables();
  assert.deepEqual(listTables(socket), []);
});
