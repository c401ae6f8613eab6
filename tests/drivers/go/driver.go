// The driver for franz-go: its clients behind JSON lines, one order a line on standard input, one answer a line on
// standard output, many at once. tests/drivers/README.md has the orders; the other drivers there speak the same.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
)

type order struct {
	ID          json.RawMessage   `json:"id"`
	Verb        string            `json:"verb"`
	Config      map[string]string `json:"config"`
	Client      string            `json:"client"`
	Topic       string            `json:"topic"`
	Partition   int32             `json:"partition"`
	Records     []record          `json:"records"`
	Transaction string            `json:"transaction"`
	Topics      []string          `json:"topics"`
	Pattern     string            `json:"pattern"`
	Assign      []position        `json:"assign"`
	Count       *int              `json:"count"`
	TimeoutMs   *int64            `json:"timeout_ms"`
	Commit      bool              `json:"commit"`
	Partitions  *int32            `json:"partitions"`
	Replicas    *int16            `json:"replicas"`
	Configs     map[string]string `json:"configs"`
	Unset       []string          `json:"unset"`
	Broker      string            `json:"broker"`
	Before      int64             `json:"before"`
	Group       string            `json:"group"`
	TopicID     string            `json:"topic_id"`
}

type record struct {
	Topic       *string      `json:"topic"`
	Partition   *int32       `json:"partition"`
	Key         payload      `json:"key"`
	Value       payload      `json:"value"`
	Headers     [][2]payload `json:"headers"`
	TimestampMs *int64       `json:"timestamp_ms"`
}

type position struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

type answer map[string]any

// Text, null, or {"base64": ...} for bytes that are no UTF-8.
type payload []byte

func (p *payload) UnmarshalJSON(text []byte) error {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return err
	}
	switch value := value.(type) {
	case nil:
		*p = nil
		return nil
	case string:
		*p = payload(value)
		return nil
	case map[string]any:
		encoded, _ := value["base64"].(string)
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		*p = decoded
		return err
	default:
		return fmt.Errorf("a payload is text, null or {base64}, not %s", text)
	}
}

func (p payload) MarshalJSON() ([]byte, error) {
	switch {
	case p == nil:
		return []byte("null"), nil
	case utf8.Valid(p):
		return json.Marshal(string(p))
	default:
		return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString(p)})
	}
}

// What the library does not offer.
type notOffered string

func (what notOffered) Error() string {
	return string(what)
}

// The Kafka protocol's code and name if a broker's answer is behind the error, else -1.
func errorOf(err error) map[string]any {
	out := map[string]any{"class": fmt.Sprintf("%T", err), "code": -1, "name": "", "message": err.Error(), "retriable": false}
	var offered notOffered
	var kafka *kerr.Error
	switch {
	case errors.As(err, &offered):
		out["class"] = "NotOffered"
	case errors.As(err, &kafka):
		out["code"], out["name"], out["retriable"] = kafka.Code, kafka.Message, kafka.Retriable
	}
	return out
}

var verbs = map[string]func(order, answer) error{
	"produce": produce,
	"consume": consume,
	"close": func(order order, _ answer) error {
		closeNamed(order.Client)
		return nil
	},
}

func run(order order) (out answer) {
	out = answer{"id": order.ID}
	defer func() {
		if thrown := recover(); thrown != nil { // every failure is an answer
			out["error"] = errorOf(fmt.Errorf("panic: %v", thrown))
		}
	}()
	verb, found := verbs[order.Verb]
	if !found {
		out["error"] = errorOf(notOffered("the franz-go driver has no verb " + order.Verb))
		return out
	}
	if err := verb(order, out); err != nil {
		out["error"] = errorOf(err)
	}
	return out
}

func main() {
	for name, question := range questions {
		verbs[name] = administer(question)
	}
	var writing sync.Mutex
	answers := json.NewEncoder(os.Stdout)
	answers.SetEscapeHTML(false)
	orders := bufio.NewScanner(os.Stdin)
	orders.Buffer(nil, 64<<20)
	for orders.Scan() {
		var order order
		if err := json.Unmarshal(orders.Bytes(), &order); err != nil {
			fmt.Fprintf(os.Stderr, "%v in %s\n", err, orders.Text())
			os.Exit(1)
		}
		go func() {
			answer := run(order)
			writing.Lock()
			defer writing.Unlock()
			if err := answers.Encode(answer); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
	// Clients that are still open may wait for brokers that are gone: the process ends without closing them.
}
