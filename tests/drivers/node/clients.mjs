import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

import kafkajs from 'kafkajs';

import { NotOffered } from './errors.mjs';

const { Kafka, logLevel } = kafkajs;

/** Clients that an order left open, by the name it gave them: promises, for two orders may come at once. */
const open = new Map();

/** Runs with the client that the order names, opened on first use and left open; without a name, with one of its own. */
export async function withClient(order, connect, body) {
  if (order.client == null) {
    const client = await connect(order);
    try {
      return await body(client);
    } finally {
      await client.disconnect();
    }
  }
  if (!open.has(order.client)) {
    open.set(order.client, connect(order));
  }
  try {
    return await body(await open.get(order.client));
  } catch (thrown) {
    // One that never connected is no client to go on with.
    await open.get(order.client)?.catch(() => open.delete(order.client));
    throw thrown;
  }
}

export async function close(name) {
  const client = await open.get(name);
  open.delete(name);
  await client?.disconnect();
}

// Properties that one of producers, consumers and administrators reads.
const READ_ELSEWHERE = [
  'group.id', 'auto.offset.reset', 'isolation.level', 'heartbeat.interval.ms', 'session.timeout.ms', // consume.mjs
  'transactional.id', 'compression.type', // produce.mjs
];

/** librdkafka's names for properties, as far as this driver knows them: another one is an error, for it would not hold. */
export function kafka(config) {
  const settings = {
    connectionTimeout: 10_000, // of a second a busy machine makes too little
    logLevel: logLevel.WARN,
    logCreator: () => ({ namespace, label, log }) => console.error(label, namespace, log.message),
  };
  for (const [name, value] of Object.entries(config)) {
    switch (name) {
      case 'bootstrap.servers':
        settings.brokers = value.split(',');
        break;
      case 'client.id':
        settings.clientId = value;
        break;
      case 'security.protocol':
        if (value.endsWith('SSL')) {
          settings.ssl = { ca: readFileSync(config['ssl.ca.location']) };
        }
        break;
      case 'sasl.mechanism':
        settings.sasl = login(value, config);
        break;
      case 'sasl.username':
      case 'sasl.password':
      case 'token_file':
      case 'ssl.ca.location':
        break; // read with the two above
      default:
        if (!READ_ELSEWHERE.includes(name)) {
          throw new NotOffered(`the kafkajs driver has no property ${name}`);
        }
    }
  }
  return new Kafka(settings);
}

function login(mechanism, config) {
  switch (mechanism) {
    case 'PLAIN':
    case 'SCRAM-SHA-512':
      return {
        mechanism: mechanism.toLowerCase(),
        username: config['sasl.username'],
        password: config['sasl.password'],
      };
    case 'OAUTHBEARER':
      if (config.token_file === undefined) {
        throw new NotOffered('the kafkajs driver fetches no tokens itself: token_file');
      }
      return {
        mechanism: 'oauthbearer',
        // At each login.
        oauthBearerProvider: async () => ({ value: (await readFile(config.token_file, 'utf8')).trim() }),
      };
    default:
      throw new NotOffered(`the kafkajs driver has no sasl.mechanism ${mechanism}`);
  }
}

export function toBytes(value) {
  if (value == null) {
    return null;
  }
  return typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.base64, 'base64');
}

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text stays text; null stays null; bytes that are no UTF-8 go out as {"base64": ...}. */
export function fromBytes(bytes) {
  if (bytes == null) {
    return null;
  }
  try {
    return text.decode(bytes);
  } catch {
    return { base64: bytes.toString('base64') };
  }
}
