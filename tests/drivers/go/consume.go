package main

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Until so many records are there, or the time is over.
func consume(order order, answer answer) error {
	records := []map[string]any{}
	answer["records"] = records // what came before an error stays in the answer
	options, err := chosen(order)
	if err != nil {
		return err
	}
	count, timeout := 1, 20*time.Second
	if order.Count != nil {
		count = *order.Count
	}
	if order.TimeoutMs != nil {
		timeout = time.Duration(*order.TimeoutMs) * time.Millisecond
	}
	return with(order, options, func(client *kgo.Client) error {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		for len(records) < count && ctx.Err() == nil {
			fetches := client.PollRecords(ctx, count-len(records))
			for _, record := range fetches.Records() {
				records = append(records, toJSON(record))
			}
			answer["records"] = records
			for _, failed := range fetches.Errors() {
				if !errors.Is(failed.Err, context.DeadlineExceeded) {
					return failed.Err
				}
			}
		}
		if order.Commit {
			return client.CommitUncommittedOffsets(context.Background())
		}
		return nil
	})
}

func chosen(order order) ([]kgo.Opt, error) {
	if len(order.Assign) > 0 {
		partitions := map[string]map[int32]kgo.Offset{}
		for _, at := range order.Assign {
			if partitions[at.Topic] == nil {
				partitions[at.Topic] = map[int32]kgo.Offset{}
			}
			partitions[at.Topic][at.Partition] = kgo.NewOffset().At(at.Offset)
		}
		return []kgo.Opt{kgo.ConsumePartitions(partitions)}, nil
	}
	options := []kgo.Opt{kgo.ConsumeTopics(order.Topics...)}
	if order.Pattern != "" {
		options = []kgo.Opt{kgo.ConsumeRegex(), kgo.ConsumeTopics("^" + order.Pattern)}
	}
	group, found := order.Config["group.id"]
	if !found {
		return options, nil
	}
	options = append(options, kgo.ConsumerGroup(group))
	if order.Config["enable.auto.commit"] == "false" {
		options = append(options, kgo.DisableAutoCommit())
	}
	for name, option := range map[string]func(time.Duration) kgo.GroupOpt{
		"heartbeat.interval.ms": kgo.HeartbeatInterval, "session.timeout.ms": kgo.SessionTimeout,
	} {
		if text, found := order.Config[name]; found {
			value, err := milliseconds(text)
			if err != nil {
				return nil, err
			}
			options = append(options, option(value))
		}
	}
	return options, nil
}

func toJSON(record *kgo.Record) map[string]any {
	headers := [][2]any{}
	for _, header := range record.Headers {
		headers = append(headers, [2]any{header.Key, payload(header.Value)})
	}
	return map[string]any{
		"topic": record.Topic, "partition": record.Partition, "offset": record.Offset,
		"timestamp_ms": record.Timestamp.UnixMilli(), "key": payload(record.Key), "value": payload(record.Value),
		"headers": headers,
	}
}
