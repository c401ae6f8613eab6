package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Clients that an order left open, by the name it gave them.
var open = struct {
	sync.Mutex
	clients map[string]*kgo.Client
}{clients: map[string]*kgo.Client{}}

// Runs with the client that the order names, opened on first use and left open; without a name, with one of its own.
func with(order order, more []kgo.Opt, body func(*kgo.Client) error) error {
	if order.Client == "" {
		client, err := connect(order.Config, more)
		if err != nil {
			return err
		}
		defer client.Close()
		return body(client)
	}
	client, err := named(order, more)
	if err != nil {
		return err
	}
	return body(client)
}

func named(order order, more []kgo.Opt) (*kgo.Client, error) {
	open.Lock()
	defer open.Unlock()
	if client, found := open.clients[order.Client]; found {
		return client, nil
	}
	client, err := connect(order.Config, more)
	if err == nil {
		open.clients[order.Client] = client
	}
	return client, err
}

func closeNamed(name string) {
	open.Lock()
	client, found := open.clients[name]
	delete(open.clients, name)
	open.Unlock()
	if found {
		client.Close() // commits what was read, and leaves the group
	}
}

func connect(config map[string]string, more []kgo.Opt) (*kgo.Client, error) {
	options, err := optionsOf(config)
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(options, more...)...)
}

// librdkafka's names for properties, as far as this driver knows them: another one is an error, for it would not hold.
func optionsOf(config map[string]string) ([]kgo.Opt, error) {
	var options []kgo.Opt
	var user, password string
	for name, value := range config {
		switch name {
		case "bootstrap.servers":
			options = append(options, kgo.SeedBrokers(strings.Split(value, ",")...))
		case "security.protocol", "sasl.mechanism", "token_file", "ssl.ca.location":
			// Below, together.
		case "sasl.username":
			user = value
		case "sasl.password":
			password = value
		case "client.id":
			options = append(options, kgo.ClientID(value))
		case "group.id", "enable.auto.commit", "heartbeat.interval.ms", "session.timeout.ms":
			// Only for consumers in a group: consume.go.
		case "auto.offset.reset":
			reset := kgo.NewOffset().AtEnd()
			if value == "earliest" {
				reset = kgo.NewOffset().AtStart()
			}
			options = append(options, kgo.ConsumeResetOffset(reset))
		case "isolation.level":
			level := kgo.ReadUncommitted()
			if value == "read_committed" {
				level = kgo.ReadCommitted()
			}
			options = append(options, kgo.FetchIsolationLevel(level))
		case "transactional.id":
			options = append(options, kgo.TransactionalID(value))
		case "compression.type":
			codec, found := map[string]kgo.CompressionCodec{
				"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
				"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
			}[value]
			if !found {
				return nil, fmt.Errorf("no compression.type %s", value)
			}
			options = append(options, kgo.ProducerBatchCompression(codec))
		case "linger.ms":
			linger, err := milliseconds(value)
			if err != nil {
				return nil, err
			}
			options = append(options, kgo.ProducerLinger(linger))
		case "message.timeout.ms":
			// Only for producers: produce.go.
		default:
			return nil, notOffered("the franz-go driver has no property " + name)
		}
	}
	if strings.HasSuffix(config["security.protocol"], "SSL") {
		pem, err := os.ReadFile(config["ssl.ca.location"])
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", config["ssl.ca.location"])
		}
		options = append(options, kgo.DialTLSConfig(&tls.Config{RootCAs: roots}))
	}
	switch config["sasl.mechanism"] {
	case "":
	case "PLAIN":
		options = append(options, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
	case "SCRAM-SHA-512":
		options = append(options, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()))
	case "OAUTHBEARER":
		file, found := config["token_file"]
		if !found {
			return nil, notOffered("the franz-go driver fetches no tokens itself: token_file")
		}
		options = append(options, kgo.SASL(oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := os.ReadFile(file) // at each login
			return oauth.Auth{Token: strings.TrimSpace(string(token))}, err
		})))
	default:
		return nil, notOffered("the franz-go driver has no sasl.mechanism " + config["sasl.mechanism"])
	}
	return options, nil
}

func milliseconds(text string) (time.Duration, error) {
	count, err := strconv.ParseInt(text, 10, 64)
	return time.Duration(count) * time.Millisecond, err
}
