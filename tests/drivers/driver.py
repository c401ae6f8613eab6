"""librdkafka (confluent-kafka) behind JSON lines: one order a line on standard input, one answer a line on standard
output, many at once. README.md has the orders; java/Driver.java speaks the same for Java's clients."""

import base64
import concurrent.futures
import json
import sys
import threading
import time

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka import admin as kadmin

OPEN = {}  # clients that an order left open, by the name it gave them
SUBSCRIBED = set()  # those among them that have subscribed
TRANSACTIONAL = set()  # and those that have called init_transactions
LOCK = threading.Lock()
TIMEOUT_S = 20


def token_from_file(path):
    """Reads the token at each login and refresh, and believes whatever is in it: also a forged or expired one."""

    def callback(_config):
        with open(path) as file:
            token = file.read().strip()
        expires_s = time.time() + 3600
        try:
            claims = token.split(".")[1]
            expires_s = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        except (IndexError, ValueError, KeyError):
            pass
        if expires_s <= time.time():
            expires_s = time.time() + 3600  # librdkafka would not send it, and the server's answer is what is asked for
        return token, expires_s

    return callback


def config_of(order):
    config = dict(order.get("config", {}))
    token_file = config.pop("token_file", None)
    if token_file:
        config["oauth_cb"] = token_from_file(token_file)
    errors = []
    config["error_cb"] = errors.append
    return config, errors


class Connected:
    """A librdkafka client and the errors of its connections."""

    def __init__(self, kind, order):
        config, self.errors = config_of(order)
        self.client = kind(config)


def open_client(order, kind):
    """The client that the order names, opened on first use."""
    name = order.get("client")
    if name is None:
        return Connected(kind, order)
    with LOCK:
        if name not in OPEN:
            OPEN[name] = Connected(kind, order)
        OPEN[name].errors.clear()  # those of an earlier order
        return OPEN[name]


def to_bytes(value):
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return value.encode() if value is not None else None


def from_bytes(value):
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def error_of(thrown):
    kafka_error = thrown
    if isinstance(thrown, KafkaException):
        kafka_error = thrown.args[0]
    if isinstance(kafka_error, KafkaError):
        return {
            "class": type(thrown).__name__,
            "code": kafka_error.code(),
            "name": kafka_error.name(),
            "message": kafka_error.str(),
            "retriable": kafka_error.retriable(),
        }
    return {"class": type(thrown).__name__, "code": -1, "name": "", "message": str(thrown), "retriable": False}


def refused_logins(errors):
    """librdkafka tries a refused login again until its time-out; a test wants to hear of the refusal."""
    return [error for error in errors if error.code() == KafkaError._AUTHENTICATION]


def produce(order, answer):
    connected = open_client(order, Producer)
    producer, errors = connected.client, connected.errors
    ends = order.get("transaction")
    if ends:
        if order.get("client") not in TRANSACTIONAL:
            producer.init_transactions(TIMEOUT_S)
            if order.get("client"):
                TRANSACTIONAL.add(order["client"])
        producer.begin_transaction()
    records = order.get("records", [])
    results = [None] * len(records)
    if order.get("refresh"):
        producer.list_topics(order["topic"], TIMEOUT_S)

    def delivered(index):
        def callback(error, message):
            if error is not None:
                results[index] = {"error": error_of(error)}
            else:
                results[index] = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}

        return callback

    for index, record in enumerate(records):
        optional = {}
        if record.get("partition") is not None:
            optional["partition"] = record["partition"]
        if record.get("timestamp_ms") is not None:
            optional["timestamp"] = record["timestamp_ms"]
        if record.get("headers"):
            optional["headers"] = [(key, to_bytes(value)) for key, value in record["headers"]]
        producer.produce(
            record.get("topic", order.get("topic")),
            key=to_bytes(record.get("key")),
            value=to_bytes(record.get("value")),
            on_delivery=delivered(index),
            **optional,
        )
    end = time.monotonic() + order.get("timeout_ms", TIMEOUT_S * 1000) / 1000
    while producer.flush(0.2) and time.monotonic() < end and not refused_logins(errors):
        pass
    # A record without an answer: the failed login says more than the time-out.
    unanswered = (refused_logins(errors) or [KafkaError(KafkaError._MSG_TIMED_OUT)])[-1]
    results = [result or {"error": error_of(unanswered)} for result in results]
    answer["results"] = results
    if ends == "commit":
        producer.commit_transaction(TIMEOUT_S)
    elif ends == "abort":
        producer.abort_transaction(TIMEOUT_S)
    if not order.get("client"):
        producer.purge()


def consume(order, answer):
    connected = open_client(order, Consumer)
    consumer, errors = connected.client, connected.errors
    records = answer["records"] = []  # what came before an error stays in the answer
    try:
        if order.get("assign"):
            if not consumer.assignment():
                consumer.assign(
                    [TopicPartition(at["topic"], at.get("partition", 0), at.get("offset", 0)) for at in order["assign"]]
                )
        elif not order.get("client") or order["client"] not in SUBSCRIBED:
            pattern = order.get("pattern")
            consumer.subscribe(["^" + pattern] if pattern else order["topics"])
            SUBSCRIBED.add(order.get("client"))
        end = time.monotonic() + order.get("timeout_ms", 20_000) / 1000
        while len(records) < order.get("count", 1) and time.monotonic() < end:
            message = consumer.poll(0.1)
            if message is None:
                if refused_logins(errors):
                    raise KafkaException(refused_logins(errors)[-1])
                continue
            if message.error() is not None:
                raise KafkaException(message.error())
            records.append(
                {
                    "topic": message.topic(),
                    "partition": message.partition(),
                    "offset": message.offset(),
                    "timestamp_ms": message.timestamp()[1],
                    "key": from_bytes(message.key()),
                    "value": from_bytes(message.value()),
                    "headers": [[key, from_bytes(value)] for key, value in message.headers() or []],
                }
            )
        if order.get("commit"):
            consumer.commit(asynchronous=False)
    finally:
        if not order.get("client"):
            consumer.close()


def resource_of(order):
    if order.get("broker"):
        return kadmin.RESOURCE_BROKER, order["broker"]
    return kadmin.RESOURCE_TOPIC, order["topic"]


class Admin:
    """An AdminClient whose calls end when the login is refused."""

    def __init__(self, connected):
        self.client = connected.client
        self.errors = connected.errors

    def wait(self, ask):
        """Calls `ask` with short time-outs (seconds) until it returns, the login failed, or the time is over."""
        end = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return ask(0.5)
            except (TimeoutError, concurrent.futures.TimeoutError):
                last = KafkaException(KafkaError(KafkaError._TIMED_OUT))
            except KafkaException as thrown:
                if thrown.args[0].code() not in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT):
                    raise
                last = thrown
            self.client.poll(0.1)  # runs error_cb
            if refused_logins(self.errors):
                raise KafkaException(refused_logins(self.errors)[-1])
            if time.monotonic() > end:
                raise last

    def only(self, futures):
        """The result of a call that was about one thing."""
        (future,) = futures.values()
        return self.wait(future.result)


def create_topic(admin, order, answer):
    admin.only(
        admin.client.create_topics(
            [
                kadmin.NewTopic(
                    order["topic"],
                    num_partitions=order.get("partitions", 1),
                    replication_factor=order.get("replicas", -1),
                    config=order.get("configs", {}),
                )
            ]
        )
    )


def alter_configs(admin, order, _answer):
    changes = [
        kadmin.ConfigEntry(name, value, incremental_operation=kadmin.AlterConfigOpType.SET)
        for name, value in order.get("configs", {}).items()
    ] + [
        kadmin.ConfigEntry(name, None, incremental_operation=kadmin.AlterConfigOpType.DELETE)
        for name in order.get("unset", [])
    ]
    kind, name = resource_of(order)
    admin.only(admin.client.incremental_alter_configs([kadmin.ConfigResource(kind, name, incremental_configs=changes)]))


def replace_configs(admin, order, _answer):
    kind, name = resource_of(order)
    admin.only(admin.client.alter_configs([kadmin.ConfigResource(kind, name, set_config=order.get("configs", {}))]))


def describe_configs(admin, order, answer):
    kind, name = resource_of(order)
    entries = admin.only(admin.client.describe_configs([kadmin.ConfigResource(kind, name)]))
    answer["configs"] = {entry.name: entry.value for entry in entries.values()}


def describe_topic(admin, order, answer):
    topic = admin.only(admin.client.describe_topics(TopicCollection([order["topic"]])))
    answer["topic"] = topic.name
    answer["partitions"] = [
        {"partition": p.id, "leader": node_of(p.leader), "replicas": [replica.id for replica in p.replicas]}
        for p in topic.partitions
    ]


def describe_cluster(admin, _order, answer):
    cluster = admin.wait(admin.client.describe_cluster().result)
    answer["cluster_id"] = cluster.cluster_id
    answer["nodes"] = [node_of(node) for node in cluster.nodes]


def node_of(node):
    return {"id": node.id, "host": node.host, "port": node.port} if node else None


def list_offsets(admin, order, answer):
    partition = TopicPartition(order["topic"], order.get("partition", 0))
    answer["earliest"] = admin.only(admin.client.list_offsets({partition: kadmin.OffsetSpec.earliest()})).offset
    answer["latest"] = admin.only(admin.client.list_offsets({partition: kadmin.OffsetSpec.latest()})).offset


def list_topics(admin, _order, answer):
    answer["topics"] = sorted(admin.wait(lambda timeout: admin.client.list_topics(timeout=timeout)).topics)


def list_groups(admin, _order, answer):
    answer["groups"] = [g.group_id for g in admin.wait(admin.client.list_consumer_groups().result).valid]


ADMIN_VERBS = {
    "create_topic": create_topic,
    "delete_topic": lambda admin, order, answer: admin.only(admin.client.delete_topics([order["topic"]])),
    "create_partitions": lambda admin, order, answer: admin.only(
        admin.client.create_partitions([kadmin.NewPartitions(order["topic"], order["partitions"])])
    ),
    "delete_records": lambda admin, order, answer: admin.only(
        admin.client.delete_records([TopicPartition(order["topic"], order.get("partition", 0), order["before"])])
    ),
    "alter_configs": alter_configs,
    "replace_configs": replace_configs,
    "describe_configs": describe_configs,
    "list_topics": list_topics,
    "describe_topic": describe_topic,
    "describe_cluster": describe_cluster,
    "list_offsets": list_offsets,
    "list_groups": list_groups,
    "delete_group": lambda admin, order, answer: admin.only(admin.client.delete_consumer_groups([order["group"]])),
}


def administer(order, answer):
    admin = Admin(open_client(order, kadmin.AdminClient))
    ADMIN_VERBS[order["verb"]](admin, order, answer)


def close(order, _answer):
    with LOCK:
        connected = OPEN.pop(order["client"], None)
    SUBSCRIBED.discard(order["client"])
    TRANSACTIONAL.discard(order["client"])
    # A consumer leaves its group; the others end when nobody holds them any more.
    if connected and isinstance(connected.client, Consumer):
        connected.client.close()


VERBS = {"produce": produce, "consume": consume, "close": close, **{name: administer for name in ADMIN_VERBS}}


def run(order):
    answer = {"id": order.get("id")}
    try:
        verb = VERBS.get(order.get("verb"))
        if verb is None:
            raise LookupError(f"the librdkafka driver has no verb {order.get('verb')}")
        verb(order, answer)
    except Exception as thrown:  # every failure is an answer
        answer["error"] = error_of(thrown)
    with LOCK:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def main():
    with concurrent.futures.ThreadPoolExecutor(max_workers=32) as pool:
        for line in sys.stdin:
            pool.submit(run, json.loads(line))


if __name__ == "__main__":
    main()
