package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type question func(context.Context, *kadm.Client, order, answer) error

// What an administrator asks of a cluster.
var questions = map[string]question{
	"create_topic": createTopic,
	"delete_topic": func(ctx context.Context, admin *kadm.Client, order order, _ answer) error {
		if order.TopicID != "" {
			return notOffered("kadm deletes topics by name only")
		}
		_, err := admin.DeleteTopic(ctx, order.Topic) // of the topic too
		return err
	},
	"create_partitions": func(ctx context.Context, admin *kadm.Client, order order, _ answer) error {
		if order.Partitions == nil {
			return fmt.Errorf("create_partitions wants partitions")
		}
		created, err := admin.UpdatePartitions(ctx, int(*order.Partitions), order.Topic)
		if err != nil {
			return err
		}
		return created.Error()
	},
	"delete_records": func(ctx context.Context, admin *kadm.Client, order order, _ answer) error {
		before := kadm.Offsets{}
		before.AddOffset(order.Topic, order.Partition, order.Before, -1)
		deleted, err := admin.DeleteRecords(ctx, before)
		if err != nil {
			return err
		}
		return deleted.Error()
	},
	"alter_configs":    alterConfigs,
	"replace_configs":  replaceConfigs,
	"describe_configs": describeConfigs,
	"list_topics": func(ctx context.Context, admin *kadm.Client, _ order, answer answer) error {
		topics, err := admin.ListTopics(ctx)
		answer["topics"] = topics.Names()
		return err
	},
	"describe_topic":   describeTopic,
	"describe_cluster": describeCluster,
	"list_offsets":     listOffsets,
	"list_groups": func(ctx context.Context, admin *kadm.Client, _ order, answer answer) error {
		groups, err := admin.ListGroups(ctx)
		answer["groups"] = groups.Groups()
		return err
	},
	"delete_group": func(ctx context.Context, admin *kadm.Client, order order, _ answer) error {
		_, err := admin.DeleteGroup(ctx, order.Group)
		return err
	},
}

func administer(question question) func(order, answer) error {
	return func(order order, answer answer) error {
		return with(order, nil, func(client *kgo.Client) error {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			return question(ctx, kadm.NewClient(client), order, answer)
		})
	}
}

func createTopic(ctx context.Context, admin *kadm.Client, order order, answer answer) error {
	partitions, replicas := int32(1), int16(-1)
	if order.Partitions != nil {
		partitions = *order.Partitions
	}
	if order.Replicas != nil {
		replicas = *order.Replicas
	}
	configs := map[string]*string{}
	for name, value := range order.Configs {
		configs[name] = &value
	}
	_, err := admin.CreateTopic(ctx, partitions, replicas, configs, order.Topic)
	return err
}

func alterConfigs(ctx context.Context, admin *kadm.Client, order order, _ answer) error {
	var changes []kadm.AlterConfig
	for name, value := range order.Configs {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
	}
	for _, name := range order.Unset {
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
	}
	if order.Broker != "" {
		broker, err := strconv.ParseInt(order.Broker, 10, 32)
		if err != nil {
			return err
		}
		return altered(admin.AlterBrokerConfigs(ctx, changes, int32(broker)))
	}
	return altered(admin.AlterTopicConfigs(ctx, changes, order.Topic))
}

func replaceConfigs(ctx context.Context, admin *kadm.Client, order order, _ answer) error {
	var state []kadm.AlterConfig
	for name, value := range order.Configs {
		state = append(state, kadm.AlterConfig{Name: name, Value: &value})
	}
	if order.Broker != "" {
		broker, err := strconv.ParseInt(order.Broker, 10, 32)
		if err != nil {
			return err
		}
		return altered(admin.AlterBrokerConfigsState(ctx, state, int32(broker)))
	}
	return altered(admin.AlterTopicConfigsState(ctx, state, order.Topic))
}

func altered(responses kadm.AlterConfigsResponses, err error) error {
	if err != nil {
		return err
	}
	for _, response := range responses {
		if response.Err != nil {
			return fmt.Errorf("%w %s", response.Err, response.ErrMessage)
		}
	}
	return nil
}

func describeConfigs(ctx context.Context, admin *kadm.Client, order order, answer answer) error {
	described, err := configsOf(ctx, admin, order)
	if err != nil {
		return err
	}
	configs := map[string]*string{}
	for _, resource := range described {
		if resource.Err != nil {
			return resource.Err
		}
		for _, config := range resource.Configs {
			configs[config.Key] = config.Value
		}
	}
	answer["configs"] = configs
	return nil
}

func configsOf(ctx context.Context, admin *kadm.Client, order order) (kadm.ResourceConfigs, error) {
	if order.Broker == "" {
		return admin.DescribeTopicConfigs(ctx, order.Topic)
	}
	broker, err := strconv.ParseInt(order.Broker, 10, 32)
	if err != nil {
		return nil, err
	}
	return admin.DescribeBrokerConfigs(ctx, int32(broker))
}

func describeTopic(ctx context.Context, admin *kadm.Client, order order, answer answer) error {
	if order.TopicID != "" {
		return notOffered("kadm describes topics by name only")
	}
	metadata, err := admin.Metadata(ctx, order.Topic)
	if err != nil {
		return err
	}
	topic := metadata.Topics[order.Topic]
	if topic.Err != nil {
		return topic.Err
	}
	nodes := map[int32]map[string]any{}
	for _, broker := range metadata.Brokers {
		nodes[broker.NodeID] = node(broker)
	}
	partitions := []map[string]any{}
	for _, partition := range topic.Partitions.Sorted() {
		partitions = append(partitions, map[string]any{
			"partition": partition.Partition, "leader": nodes[partition.Leader], "replicas": partition.Replicas,
		})
	}
	answer["topic"], answer["partitions"] = topic.Topic, partitions
	return nil
}

func describeCluster(ctx context.Context, admin *kadm.Client, _ order, answer answer) error {
	metadata, err := admin.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	nodes := []map[string]any{}
	for _, broker := range metadata.Brokers {
		nodes = append(nodes, node(broker))
	}
	answer["cluster_id"], answer["nodes"] = metadata.Cluster, nodes
	return nil
}

func node(broker kadm.BrokerDetail) map[string]any {
	return map[string]any{"id": broker.NodeID, "host": broker.Host, "port": broker.Port}
}

func listOffsets(ctx context.Context, admin *kadm.Client, order order, answer answer) error {
	type list func(context.Context, ...string) (kadm.ListedOffsets, error)
	for name, list := range map[string]list{"earliest": admin.ListStartOffsets, "latest": admin.ListEndOffsets} {
		listed, err := list(ctx, order.Topic)
		if err != nil {
			return err
		}
		offset, found := listed.Lookup(order.Topic, order.Partition)
		switch {
		case offset.Err != nil:
			return offset.Err
		case !found:
			return fmt.Errorf("no offset of %s-%d", order.Topic, order.Partition)
		}
		answer[name] = offset.Offset
	}
	return nil
}
