import kafkajs from 'kafkajs';

import { kafka, withClient } from './clients.mjs';
import { NotOffered } from './errors.mjs';

const { ConfigResourceTypes } = kafkajs;

/** What an administrator asks of a cluster. */
const asked = {
  create_topic: (admin, order) => admin.createTopics({
    topics: [{
      topic: order.topic,
      numPartitions: order.partitions ?? 1,
      replicationFactor: order.replicas ?? -1,
      configEntries: entries(order.configs),
    }],
  }),
  delete_topic: (admin, order) => {
    if (order.topic === undefined) {
      throw new NotOffered('kafkajs deletes topics by name only');
    }
    return admin.deleteTopics({ topics: [order.topic] });
  },
  create_partitions: (admin, order) =>
    admin.createPartitions({ topicPartitions: [{ topic: order.topic, count: order.partitions }] }),
  delete_records: async (admin, order) => {
    await admin.fetchTopicOffsets(order.topic); // or it knows no leader to ask
    await admin.deleteTopicRecords({
      topic: order.topic,
      partitions: [{ partition: order.partition ?? 0, offset: String(order.before) }],
    });
  },
  alter_configs: () => {
    throw new NotOffered('kafkajs changes no single property: replace_configs');
  },
  replace_configs: (admin, order) => admin.alterConfigs({
    validateOnly: false,
    resources: [{ ...resource(order), configEntries: entries(order.configs) }],
  }),
  describe_configs: async (admin, order, answer) => {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [resource(order)] });
    answer.configs = Object.fromEntries(
      resources[0].configEntries.map(({ configName, configValue }) => [configName, configValue]),
    );
  },
  list_topics: async (admin, _order, answer) => {
    answer.topics = await admin.listTopics();
  },
  describe_topic: async (admin, order, answer) => {
    const { topics: [topic] } = await admin.fetchTopicMetadata({ topics: [order.topic] });
    const { brokers } = await admin.describeCluster();
    answer.topic = topic.name;
    answer.partitions = topic.partitions.map(({ partitionId, leader, replicas }) => ({
      partition: partitionId,
      leader: brokers.filter(({ nodeId }) => nodeId === leader).map(node)[0] ?? null,
      replicas,
    }));
  },
  describe_cluster: async (admin, _order, answer) => {
    const { clusterId, brokers } = await admin.describeCluster();
    answer.cluster_id = clusterId;
    answer.nodes = brokers.map(node);
  },
  list_offsets: async (admin, order, answer) => {
    const partitions = await admin.fetchTopicOffsets(order.topic);
    const { low, high } = partitions.find(({ partition }) => partition === (order.partition ?? 0));
    answer.earliest = Number(low);
    answer.latest = Number(high);
  },
  list_groups: async (admin, _order, answer) => {
    const { groups } = await admin.listGroups();
    answer.groups = groups.map(({ groupId }) => groupId);
  },
  delete_group: (admin, order) => admin.deleteGroups([order.group]),
};

export const questions = Object.fromEntries(
  Object.entries(asked).map(([verb, ask]) => [verb, (order, answer) =>
    withClient(order, connect, (admin) => ask(admin, order, answer))]),
);

async function connect({ config }) {
  const admin = kafka(config).admin();
  await admin.connect();
  return admin;
}

function resource(order) {
  return order.broker
    ? { type: ConfigResourceTypes.BROKER, name: order.broker }
    : { type: ConfigResourceTypes.TOPIC, name: order.topic };
}

function entries(configs) {
  return Object.entries(configs ?? {}).map(([name, value]) => ({ name, value }));
}

function node({ nodeId, host, port }) {
  return { id: nodeId, host, port };
}
