"""aiokafka behind JSON lines: one order a line on standard input, one answer a line on standard output, many at once.
README.md has the orders; the other drivers here speak the same."""

import asyncio
import base64
import contextlib
import json
import os
import sys
import threading
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import AbstractTokenProvider
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import BrokerResponseError, KafkaError, for_code
from aiokafka.helpers import create_ssl_context

OPEN = {}  # clients that an order left open, by the name it gave them: tasks, for two orders may come at once


class NotOffered(Exception):
    """What the library does not offer."""


class TokenFile(AbstractTokenProvider):
    """Reads the token at each login, and believes whatever is in it."""

    def __init__(self, path):
        self.path = path

    async def token(self):
        with open(self.path) as file:
            return file.read().strip()


# librdkafka's names for properties, and aiokafka's. A property that is not here is an error, for it would not hold.
COMMON = {
    "bootstrap.servers": "bootstrap_servers",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "client.id": "client_id",
}
OF_PRODUCERS = {
    "transactional.id": "transactional_id",
    "compression.type": "compression_type",
    "linger.ms": "linger_ms",
    "message.timeout.ms": "request_timeout_ms",
}
OF_CONSUMERS = {
    "group.id": "group_id",
    "auto.offset.reset": "auto_offset_reset",
    "isolation.level": "isolation_level",
    "enable.auto.commit": "enable_auto_commit",
    "heartbeat.interval.ms": "heartbeat_interval_ms",
    "session.timeout.ms": "session_timeout_ms",
}


def settings(order, own):
    """The keyword arguments for a client; `own` are the properties that this kind of client has beside the common."""
    config = dict(order.get("config", {}))
    out = {}
    if ca_file := config.pop("ssl.ca.location", None):
        out["ssl_context"] = create_ssl_context(cafile=ca_file)
    if token_file := config.pop("token_file", None):
        out["sasl_oauth_token_provider"] = TokenFile(token_file)
    elif config.get("sasl.mechanism") == "OAUTHBEARER":
        raise NotOffered("the aiokafka driver fetches no tokens itself: token_file")
    for name, value in config.items():
        if name in (COMMON | own):
            out[(COMMON | own)[name]] = typed(name, value)
        elif name not in OF_PRODUCERS | OF_CONSUMERS:
            raise NotOffered(f"the aiokafka driver has no property {name}")
    return out


def typed(name, value):
    if name.endswith(".ms"):
        return int(value)
    if name == "enable.auto.commit":
        return value == "true"
    if name == "compression.type" and value == "none":
        return None
    return value


@contextlib.asynccontextmanager
async def client_of(order, connect, disconnect):
    """The client that the order names, opened on first use and left open; without a name, one of its own."""
    name = order.get("client")
    if name is None:
        client = await connect(order)
        try:
            yield client
        finally:
            await disconnect(client)
        return
    if name not in OPEN:
        OPEN[name] = (asyncio.ensure_future(connect(order)), disconnect)
    try:
        client = await OPEN[name][0]
    except Exception:
        OPEN.pop(name, None)  # one that never connected is no client to go on with
        raise
    yield client


async def close(order, _answer):
    opened = OPEN.pop(order["client"], None)
    if opened is not None:
        connecting, disconnect = opened
        await disconnect(await connecting)


async def started(client, stop):
    try:
        await client.start()
    except BaseException:
        await stop()
        raise
    return client


def to_bytes(value):
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return value.encode() if value is not None else None


def from_bytes(value):
    if value is None:
        return None
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def error_of(thrown):
    """The Kafka protocol's code and name if a broker's answer is behind the error, else -1."""
    out = {"class": type(thrown).__name__, "code": -1, "name": "", "message": str(thrown), "retriable": False}
    if isinstance(thrown, KafkaError):
        out["retriable"] = thrown.retriable
    if isinstance(thrown, BrokerResponseError):
        out["code"], out["name"] = thrown.errno, thrown.message
    return out


async def connect_producer(order):
    producer = AIOKafkaProducer(**settings(order, OF_PRODUCERS))
    return await started(producer, producer.stop)


async def produce(order, answer):
    ends = order.get("transaction")
    if ends not in (None, "commit", "abort"):
        raise ValueError(f"transaction: commit or abort, not {ends}")
    async with client_of(order, connect_producer, AIOKafkaProducer.stop) as producer:
        if ends:
            await producer.begin_transaction()
        sent = [await send(producer, order, record) for record in order.get("records", [])]
        answer["results"] = [await result_of(future) for future in sent]
        if ends == "commit":
            await producer.commit_transaction()
        elif ends == "abort":
            await producer.abort_transaction()


async def send(producer, order, record):
    try:
        return await producer.send(
            record.get("topic", order.get("topic")),
            value=to_bytes(record.get("value")),
            key=to_bytes(record.get("key")),
            partition=record.get("partition"),
            timestamp_ms=record.get("timestamp_ms"),
            headers=[(key, to_bytes(value)) for key, value in record.get("headers") or []],
        )
    except Exception as thrown:  # metadata that never came, or was denied: also an answer for this record
        return thrown


async def result_of(sent):
    try:
        if isinstance(sent, Exception):
            raise sent
        metadata = await sent
    except Exception as thrown:
        return {"error": error_of(thrown)}
    return {"topic": metadata.topic, "partition": metadata.partition, "offset": metadata.offset}


async def connect_consumer(order):
    consumer = AIOKafkaConsumer(**settings(order, OF_CONSUMERS))
    if not order.get("assign"):
        if order.get("pattern"):
            consumer.subscribe(pattern="^" + order["pattern"])
        else:
            consumer.subscribe(order["topics"])
    await started(consumer, consumer.stop)
    if order.get("assign"):
        partitions = {TopicPartition(at["topic"], at.get("partition", 0)): at.get("offset", 0) for at in order["assign"]}
        consumer.assign(list(partitions))
        for partition, offset in partitions.items():
            consumer.seek(partition, offset)
    return consumer


async def consume(order, answer):
    records = answer["records"] = []  # what came before an error stays in the answer
    count = order.get("count", 1)
    end = time.monotonic() + order.get("timeout_ms", 20_000) / 1000
    async with client_of(order, connect_consumer, AIOKafkaConsumer.stop) as consumer:
        while len(records) < count and time.monotonic() < end:
            polled = await consumer.getmany(timeout_ms=100, max_records=count - len(records))
            for of_partition in polled.values():
                records.extend(to_json(record) for record in of_partition)
        if order.get("commit"):
            await consumer.commit()


def to_json(record):
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "key": from_bytes(record.key),
        "value": from_bytes(record.value),
        "headers": [[key, from_bytes(value)] for key, value in record.headers],
    }


def check(code, message=None):
    """aiokafka's administrator hands most answers on without looking into them."""
    if code:
        raise for_code(code)(message)


async def create_topic(admin, order, _answer):
    new = NewTopic(
        order["topic"],
        order.get("partitions", 1),
        order.get("replicas", 1),  # it does not let the broker choose
        topic_configs=order.get("configs", {}),
    )
    for _topic, code, *message in (await admin.create_topics([new])).topic_errors:
        check(code, *message)


async def delete_topic(admin, order, _answer):
    if "topic" not in order:
        raise NotOffered("aiokafka deletes topics by name only")
    for _topic, code in (await admin.delete_topics([order["topic"]])).topic_error_codes:
        check(code)


async def create_partitions(admin, order, _answer):
    await admin.create_partitions({order["topic"]: NewPartitions(order["partitions"])})


async def delete_records(admin, order, _answer):
    partition = TopicPartition(order["topic"], order.get("partition", 0))
    await admin.delete_records({partition: RecordsToDelete(order["before"])})


async def alter_configs(_admin, _order, _answer):
    raise NotOffered("aiokafka changes no single property: replace_configs")


def resource_of(order, configs=None):
    if order.get("broker"):
        return ConfigResource(ConfigResourceType.BROKER, order["broker"], configs)
    return ConfigResource(ConfigResourceType.TOPIC, order["topic"], configs)


async def replace_configs(admin, order, _answer):
    for response in await admin.alter_configs([resource_of(order, order.get("configs", {}))]):
        for code, message, *_resource in response.resources:
            check(code, message)


async def describe_configs(admin, order, answer):
    (response,) = await admin.describe_configs([resource_of(order)])
    for code, message, _kind, _name, entries in response.resources:
        check(code, message)
        answer["configs"] = {name: value for name, value, *_ in entries}


async def list_topics(admin, _order, answer):
    answer["topics"] = await admin.list_topics()


async def describe_topic(admin, order, answer):
    (topic,) = await admin.describe_topics([order["topic"]])
    check(topic["error_code"])
    nodes = {node["id"]: node for node in nodes_of(await admin.describe_cluster())}
    answer["topic"] = topic["topic"]
    answer["partitions"] = [
        {"partition": p["partition"], "leader": nodes.get(p["leader"]), "replicas": p["replicas"]}
        for p in topic["partitions"]
    ]


async def describe_cluster(admin, _order, answer):
    cluster = await admin.describe_cluster()
    answer["cluster_id"] = cluster["cluster_id"]
    answer["nodes"] = nodes_of(cluster)


def nodes_of(cluster):
    return [{"id": node["node_id"], "host": node["host"], "port": node["port"]} for node in cluster["brokers"]]


async def list_groups(admin, _order, answer):
    answer["groups"] = [group for group, *_ in await admin.list_consumer_groups()]


async def delete_group(_admin, _order, _answer):
    raise NotOffered("aiokafka deletes no groups")


async def list_offsets(order, answer):
    """The administrator has no such question; a consumer has."""
    partition = TopicPartition(order["topic"], order.get("partition", 0))
    consumer = AIOKafkaConsumer(**settings(order, {}))
    await started(consumer, consumer.stop)
    try:
        answer["earliest"] = (await consumer.beginning_offsets([partition]))[partition]
        answer["latest"] = (await consumer.end_offsets([partition]))[partition]
    finally:
        await consumer.stop()


async def connect_admin(order):
    admin = AIOKafkaAdminClient(**settings(order, {}))
    return await started(admin, admin.close)


def administer(ask):
    async def asked(order, answer):
        async with client_of(order, connect_admin, AIOKafkaAdminClient.close) as admin:
            await ask(admin, order, answer)

    return asked


QUESTIONS = [
    create_topic,
    delete_topic,
    create_partitions,
    delete_records,
    alter_configs,
    replace_configs,
    describe_configs,
    list_topics,
    describe_topic,
    describe_cluster,
    list_groups,
    delete_group,
]
VERBS = {
    "produce": produce,
    "consume": consume,
    "close": close,
    "list_offsets": list_offsets,
    **{ask.__name__: administer(ask) for ask in QUESTIONS},
}


async def run(order):
    answer = {"id": order.get("id")}
    try:
        verb = VERBS.get(order.get("verb"))
        if verb is None:
            raise NotOffered(f"the aiokafka driver has no verb {order.get('verb')}")
        await verb(order, answer)
    except Exception as thrown:  # every failure is an answer
        answer["error"] = error_of(thrown)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def main():
    loop = asyncio.get_running_loop()
    orders = asyncio.Queue()

    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(orders.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(orders.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    running = set()
    while (order := await orders.get()) is not None:
        task = asyncio.create_task(run(order))
        running.add(task)
        task.add_done_callback(running.discard)
    os._exit(0)  # clients that are still open may wait for brokers that are gone


if __name__ == "__main__":
    asyncio.run(main())
