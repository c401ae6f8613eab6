// The driver for kafkajs: its clients behind JSON lines, one order a line on standard input, one answer a line on
// standard output, many at once. tests/drivers/README.md has the orders; the other drivers there speak the same.

import { createInterface } from 'node:readline';

import { questions } from './administer.mjs';
import { close } from './clients.mjs';
import { consume } from './consume.mjs';
import { errorOf, NotOffered } from './errors.mjs';
import { produce } from './produce.mjs';

const verbs = { produce, consume, close: (order) => close(order.client), ...questions };

async function run(order) {
  const answer = { id: order.id };
  try {
    const verb = verbs[order.verb];
    if (verb === undefined) {
      throw new NotOffered(`the kafkajs driver has no verb ${order.verb}`);
    }
    await verb(order, answer);
  } catch (thrown) { // every failure is an answer
    answer.error = errorOf(thrown);
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

const orders = createInterface({ input: process.stdin, crlfDelay: Infinity });
orders.on('line', (line) => run(JSON.parse(line)));
orders.on('close', () => process.exit(0)); // clients that are still open may wait for brokers that are gone
