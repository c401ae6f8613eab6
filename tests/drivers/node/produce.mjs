import kafkajs from 'kafkajs';

import { kafka, toBytes, withClient } from './clients.mjs';
import { errorOf, NotOffered } from './errors.mjs';

const { CompressionTypes, Partitioners } = kafkajs;

/** Which partition kafkajs chose for a message: it answers with the first offset of each partition only. */
const CHOSEN = new WeakMap();

/** Records to topics, in a transaction or not; an answer per record. */
export async function produce(order, answer) {
  if (![undefined, 'commit', 'abort'].includes(order.transaction)) {
    throw new Error(`transaction: commit or abort, not ${order.transaction}`);
  }
  await withClient(order, connect, async (producer) => {
    const transaction = order.transaction && await producer.transaction();
    answer.results = await send(transaction || producer, order);
    await transaction?.[order.transaction]();
  });
}

async function connect({ config }) {
  const transactionalId = config['transactional.id'];
  const producer = kafka(config).producer({
    createPartitioner: () => {
      const choose = Partitioners.DefaultPartitioner();
      return (about) => {
        const partition = choose(about);
        CHOSEN.set(about.message, partition);
        return partition;
      };
    },
    allowAutoTopicCreation: false,
    ...(transactionalId && { transactionalId, idempotent: true, maxInFlightRequests: 1 }),
  });
  await producer.connect();
  return producer;
}

/** Each topic by itself: kafkajs fails a whole request for one partition that failed. */
async function send(producer, order) {
  const compression = codec(order.config['compression.type'] ?? 'none');
  const topics = new Map();
  const sent = (order.records ?? []).map((record) => {
    const topic = record.topic ?? order.topic;
    const message = toMessage(record);
    topics.set(topic, [...(topics.get(topic) ?? []), message]);
    return { topic, message };
  });
  const outcomes = new Map();
  for (const [topic, messages] of topics) {
    try {
      const answered = await producer.send({ topic, messages, compression });
      outcomes.set(topic, new Map(answered.map(({ partition, baseOffset }) => [partition, Number(baseOffset)])));
    } catch (thrown) {
      outcomes.set(topic, errorOf(thrown));
    }
  }
  return sent.map(({ topic, message }) => {
    const next = outcomes.get(topic);
    if (!(next instanceof Map)) {
      return { error: next };
    }
    const partition = CHOSEN.get(message);
    const offset = next.get(partition);
    next.set(partition, offset + 1);
    return { topic, partition, offset };
  });
}

function codec(name) {
  const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP };
  if (!(name in codecs)) {
    throw new NotOffered(`kafkajs alone has no compression.type ${name}`);
  }
  return codecs[name];
}

function toMessage(record) {
  const headers = {};
  for (const [key, value] of record.headers ?? []) {
    headers[key] = [...(headers[key] ?? []), toBytes(value)];
  }
  return {
    key: toBytes(record.key),
    value: toBytes(record.value),
    headers,
    ...(record.partition != null && { partition: record.partition }),
    ...(record.timestamp_ms != null && { timestamp: String(record.timestamp_ms) }),
  };
}
