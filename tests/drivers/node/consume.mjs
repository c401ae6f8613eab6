import { fromBytes, kafka, withClient } from './clients.mjs';
import { NotOffered } from './errors.mjs';

/** Until so many records are there, or the time is over. */
export async function consume(order, answer) {
  answer.records = []; // what came before an error stays in the answer
  if (order.assign) {
    throw new NotOffered('kafkajs cannot be assigned partitions: it reads as a member of a group');
  }
  await withClient(order, subscribe, async (member) => {
    const end = Date.now() + (order.timeout_ms ?? 20_000);
    while (answer.records.length < (order.count ?? 1)) {
      const record = await member.next(end);
      if (record === undefined) {
        break;
      }
      answer.records.push(record);
    }
    if (order.commit) {
      await member.commit();
    }
  });
}

async function subscribe({ config, topics, pattern }) {
  const consumer = kafka(config).consumer({
    groupId: config['group.id'],
    readUncommitted: config['isolation.level'] !== 'read_committed',
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 500, // it heartbeats between fetches, so that a long one delays a rebalance
    ...(config['heartbeat.interval.ms'] && { heartbeatInterval: Number(config['heartbeat.interval.ms']) }),
    ...(config['session.timeout.ms'] && { sessionTimeout: Number(config['session.timeout.ms']) }),
  });
  await consumer.connect();
  try {
    await consumer.subscribe({
      topics: pattern ? [new RegExp(`^${pattern}`)] : topics,
      fromBeginning: config['auto.offset.reset'] === 'earliest',
    });
  } catch (thrown) {
    await consumer.disconnect();
    throw thrown;
  }
  const member = new Member(consumer);
  member.run();
  return member;
}

/**
 * A consumer whose records wait until an order takes them: only then does kafkajs hold them for consumed, and commits
 * them. It pushes records, and orders pull.
 */
class Member {
  #consumer;
  #offered = []; // {record, taken, dropped}
  #next = new Map(); // offsets after what orders took, by topic and partition
  #crash;
  #wake = () => {};

  constructor(consumer) {
    this.#consumer = consumer;
    consumer.on(consumer.events.CRASH, ({ payload }) => this.#end(payload.error));
  }

  run() {
    const eachMessage = ({ topic, partition, message }) => new Promise((taken, dropped) => {
      this.#offered.push({ record: toJson(topic, partition, message), taken, dropped });
      this.#wake();
    });
    // It returns once the member has joined, which may take until the other members have heard of it.
    this.#consumer.run({ eachMessage }).catch((thrown) => this.#end(thrown));
  }

  /** The next record, or undefined when the time is over. */
  async next(end) {
    while (this.#offered.length === 0) {
      if (this.#crash) {
        throw this.#crash;
      }
      const left = end - Date.now();
      if (left <= 0) {
        return undefined;
      }
      await new Promise((wake) => {
        const timer = setTimeout(wake, left);
        this.#wake = () => {
          clearTimeout(timer);
          wake();
        };
      });
    }
    const { record, taken } = this.#offered.shift();
    taken();
    const { topic, partition, offset } = record;
    this.#next.set(`${topic}-${partition}`, { topic, partition, offset: String(offset + 1) });
    return record;
  }

  async commit() {
    await this.#consumer.commitOffsets([...this.#next.values()]);
  }

  /** Leaves the group. */
  async disconnect() {
    const disconnected = this.#consumer.disconnect(); // from here on it does not try again
    for (const { dropped } of this.#offered.splice(0)) {
      dropped(new Error('closed before an order took this record'));
    }
    await disconnected;
  }

  #end(thrown) {
    this.#crash = thrown;
    this.#wake();
  }
}

function toJson(topic, partition, message) {
  const headers = Object.entries(message.headers ?? {}).flatMap(([key, values]) =>
    [values].flat().map((value) => [key, fromBytes(value)]));
  return {
    topic,
    partition,
    offset: Number(message.offset),
    timestamp_ms: Number(message.timestamp),
    key: fromBytes(message.key),
    value: fromBytes(message.value),
    headers,
  };
}
