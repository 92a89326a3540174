/** For nftables-read.test.ts: changes the rule set of the network namespace all the time, until it is killed. */
import { hostU32Bytes, keyLayout, openNftables, rules, Transaction } from "../../src/kernel/nftables/index.ts";

const socket = openNftables();
const transaction = new Transaction();
const table = { family: "ip", table: "changing" } as const;
process.send?.("ready");
// With each turn everything of the table has the next number.
for (let number = 1; ; number++) {
  transaction.deleteTable(table, "destroy");
  transaction.addTable(table);
  transaction.addSet({ ...table, set: `set-${number}`, key: keyLayout("mark") });
  transaction.addElement({ ...table, set: `set-${number}` }, hostU32Bytes(number));
  transaction.addChain({ ...table, chain: `chain-${number}` });
  transaction.addRule({ ...table, chain: `chain-${number}`, expressions: [rules.accept], comment: `rule-${number}` });
  transaction.commit(socket);
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 3));
}
