/** What the library does not offer. */
export class NotOffered extends Error {
  name = 'NotOffered';
}

const SASL_AUTHENTICATION_FAILED = 58;

/** The Kafka protocol's code and name if a broker's answer is behind the error, else -1. */
export function errorOf(thrown) {
  const cause = kafkaCause(thrown) ?? thrown;
  const told = { class: cause.name, message: String(thrown.message), retriable: cause.retriable === true };
  if (cause.name === 'KafkaJSSASLAuthenticationError') { // kafkajs keeps its text only
    return { ...told, code: SASL_AUTHENTICATION_FAILED, name: 'SASL_AUTHENTICATION_FAILED' };
  }
  return { ...told, code: Number.isInteger(cause.code) ? cause.code : -1, name: cause.type ?? '' };
}

/** kafkajs wraps: retries in an error with a cause, several topics or partitions in an error with a list. */
function kafkaCause(thrown) {
  if (thrown == null || typeof thrown !== 'object') {
    return undefined;
  }
  if (Number.isInteger(thrown.code) || thrown.name === 'KafkaJSSASLAuthenticationError') {
    return thrown;
  }
  const behind = [
    thrown.cause,
    thrown.error,
    ...(thrown.errors ?? []),
    ...(thrown.partitions ?? []).map(({ error }) => error),
    ...(thrown.groups ?? []).map(({ error }) => error),
  ];
  return behind.map(kafkaCause).find((cause) => cause !== undefined);
}
