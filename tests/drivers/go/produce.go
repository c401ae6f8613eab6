package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The partition that the record names, or else what franz-go would choose.
type partitions struct {
	kgo.Partitioner
}

type topicPartitions struct {
	kgo.TopicPartitioner
}

const unnamed = -1

func (p partitions) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitions{p.Partitioner.ForTopic(topic)}
}

func (p topicPartitions) RequiresConsistency(record *kgo.Record) bool {
	return record.Partition != unnamed || p.TopicPartitioner.RequiresConsistency(record)
}

func (p topicPartitions) Partition(record *kgo.Record, count int) int {
	if record.Partition != unnamed {
		return int(record.Partition)
	}
	return p.TopicPartitioner.Partition(record, count)
}

// Records to topics, in a transaction or not; an answer per record.
func produce(order order, answer answer) error {
	if order.Transaction != "" && order.Transaction != "commit" && order.Transaction != "abort" {
		return fmt.Errorf("transaction: commit or abort, not %s", order.Transaction)
	}
	options := []kgo.Opt{kgo.RecordPartitioner(partitions{kgo.StickyKeyPartitioner(nil)})}
	// franz-go counts the time-out from a record's timestamp, so that one of long ago could never be sent.
	dated := slices.ContainsFunc(order.Records, func(record record) bool { return record.TimestampMs != nil })
	if text, found := order.Config["message.timeout.ms"]; found && !dated {
		timeout, err := milliseconds(text)
		if err != nil {
			return err
		}
		options = append(options, kgo.RecordDeliveryTimeout(timeout))
	}
	return with(order, options, func(client *kgo.Client) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if order.Transaction != "" {
			if err := client.BeginTransaction(); err != nil {
				return err
			}
		}
		results := make([]map[string]any, len(order.Records))
		answer["results"] = results
		for index, wanted := range order.Records {
			client.Produce(ctx, recordOf(order, wanted), func(sent *kgo.Record, err error) {
				if err != nil {
					results[index] = map[string]any{"error": errorOf(err)}
					return
				}
				results[index] = map[string]any{"topic": sent.Topic, "partition": sent.Partition, "offset": sent.Offset}
			})
		}
		if err := client.Flush(ctx); err != nil {
			return err
		}
		switch order.Transaction {
		case "commit":
			return client.EndTransaction(ctx, kgo.TryCommit)
		case "abort":
			return client.EndTransaction(ctx, kgo.TryAbort)
		default:
			return nil
		}
	})
}

func recordOf(order order, wanted record) *kgo.Record {
	out := &kgo.Record{Topic: order.Topic, Partition: unnamed, Key: wanted.Key, Value: wanted.Value}
	if wanted.Topic != nil {
		out.Topic = *wanted.Topic
	}
	if wanted.Partition != nil {
		out.Partition = *wanted.Partition
	}
	if wanted.TimestampMs != nil {
		out.Timestamp = time.UnixMilli(*wanted.TimestampMs)
	}
	for _, header := range wanted.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: string(header[0]), Value: header[1]})
	}
	return out
}
