/** Labs of users without privileges. That they are in all what root's are, rootless.long.test.ts tries. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { processStart, signalProcess } from "../../src/kernel/programs.ts";
import { processesOfWorlds } from "../../src/kernel/rootless.ts";
import { answersTo, story } from "./story.ts";
import { eventually, TestLab, unprivilegedLabs, unprivilegedUser } from "./testlab.ts";

const lab = new TestLab({ unprivileged: true });
after(() => lab.remove());
const [refused, silence] = ["a b\n7\n", "a b\n28\n"];

if (unprivilegedLabs) {
  test("a user without privileges has a lab that works in every command", async () => {
    assert.deepEqual(await story(lab, ["iptables", "nftables"]), {
      answers: { iptables: [silence, refused], nftables: [refused, refused] },
      trace: 0,
      check: [0, `${lab.namespace("node1")}: nothing found\n`],
      broken: 28,
      nodes: "node/node1\nnode/node2\n",
      inside:
        "a\n0\nnameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
      log: true,
    });
    assert.deepEqual(lab.namespaces(), [], "the machine has none of its namespaces");
  });

  test("a supervisor that is killed leaves nothing that up does not mend and down does not clear away", async () => {
    const kill = async () => {
      const { pid } = JSON.parse(readFileSync(join(lab.folder, "supervisor.json"), "utf8")) as { readonly pid: number };
      signalProcess(pid, "SIGKILL");
      await eventually(
        "it is dead",
        () => processStart(pid),
        (start) => start === undefined,
      );
    };
    await kill();
    const left = processesOfWorlds(lab.folder);
    assert.ok(left.length >= 2, "the proxies live on");
    await lab.lab("up");
    await eventually(
      "the old proxies are dead",
      () => left.filter((pid) => processStart(pid) !== undefined),
      (found) => found.length === 0,
    );
    await eventually(
      "the pods are back",
      () => answersTo(lab, "outside", "172.20.0.12", 30_081),
      (found) => found === refused,
    );
    await kill();
    await lab.lab("down");
    await eventually(
      "all are dead",
      () => processesOfWorlds(lab.folder),
      (found) => found.length === 0,
    );
  });
}

test("who may have no user namespaces is told how to allow them", async () => {
  const script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all,+setfcap "$@"';
  const forbid = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"];
  const up = ["env", `XDG_STATE_HOME=${lab.folder}`, lab.program, "lab", "up"];
  const { code, err } = await lab.run(unprivilegedLabs ? [...forbid, ...up] : up);
  assert.equal(code, 1);
  assert.match(err, /one is root or has user namespaces: /);
  if (unprivilegedLabs) assert.match(err, /sudo sysctl -w user\.max_user_namespaces=/);
});

if (process.getuid?.() === 0 && unprivilegedUser !== 0) {
  test("a user who is but a number, with no home, is told where labs can be kept", async () => {
    const { code, err } = await lab.run(["env", "-u", "HOME", "-u", "XDG_STATE_HOME", lab.program, "lab", "status"]);
    assert.equal(code, 1);
    assert.match(err, /this user has no home, where labs are kept: set XDG_STATE_HOME to a folder/);
  });
}
