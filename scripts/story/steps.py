"""The story, one function a step. Each returns what it proves; what is not as told is checked on the way."""

import json
import re
import shutil
import sqlite3
import time
import urllib.error
import urllib.parse
import urllib.request

from clients import ANSWER_WITHIN_S, LOOPBACK, brokers_address, by_token, to_brokers

SEVEN_YEARS_MS = 7 * 365 * 24 * 3600 * 1000
ANN = {"email": "ann@example.org", "name": "Ann"}
ORDERS = [
    {"id": 1, "customer": ANN, "items": [{"sku": "lamp", "recipient": {"ssn": "078-05-1120"}}]},
    {"id": 2, "customer": {"email": "ben@example.org", "name": "Ben"}, "items": []},
    {"id": 3, "customer": ANN, "payment": {"card_number": 4111111111111111}},
]
CLEAR_TEXTS = ["ann@example.org", "ben@example.org", "078-05-1120", "4111111111111111"]
DENIED = "TOPIC_AUTHORIZATION_FAILED"


def policy_and_topics(stage):
    stage.begin(
        0,
        "Policy, and the topics",
        [
            "frank, the author, puts demo/policy.yaml in force. Then carol, who administers topics, creates three",
            "through the gateway. The class of `ledger` says immutable, for seven years: she has to promise as much.",
        ],
    )
    stage.apply("policy.yaml")
    forever = {"cleanup.policy": "delete", "retention.ms": str(SEVEN_YEARS_MS)}
    for name, configs in [("orders", {}), ("payments", {}), ("ledger", {}), ("ledger", forever)]:
        answer = stage.ask("carol", "Java", "create_topic", topic=stage.named(name), configs=configs)
        if name == "ledger" and not configs:
            refused = answer.get("error", {}).get("name")
            stage.check("a ledger that promises nothing is POLICY_VIOLATION", refused == "POLICY_VIOLATION", answer)
        else:
            stage.need(f"topic {name} is created", "error" not in answer, answer)
    return "the gateway enforces the newest revision within moments, on the first request too."


def allowed(stage):
    stage.begin(
        1,
        "An allowed produce and consume",
        ["svc-orders may write to orders (a Java client); analytics may read it (librdkafka). Neither knows of the gateway."],
    )
    offsets = stage.produce("svc-orders", stage.named("orders"), ORDERS, library="Java")
    stage.check("three records written, in order", offsets == [0, 1, 2], offsets)
    answer = stage.consume("analytics", stage.named("orders"), "analytics-first", 3)
    ids = [json.loads(record["value"])["id"] for record in answer["records"]]
    stage.check("three records read, in order", ids == [1, 2, 3] and "error" not in answer, answer)
    return "unmodified clients do their work through the gateway, with nothing but a token of the identity provider."


def masked(stage):
    stage.begin(
        2,
        "A mask, and a role that reads through it",
        [
            "The mask personal-data binds everybody who reads orders. The same bytes lie on the broker; analytics gets tokens,",
            "analytics-clear, whose role says `clear: [personal-data]`, gets what was written.",
        ],
    )
    orders = stage.named("orders")
    seen = values(stage.consume("analytics", orders, "analytics-masked", 3))
    clear = values(stage.consume("analytics-clear", orders, "analytics-plain", 3))
    text = " ".join(seen)
    stage.need("both read three records", len(seen) == len(clear) == 3, (seen, clear))
    stage.check('analytics sees "email":"tok_...', re.search(r'"email": ?"tok_[^"]+"', seen[0]), seen[0])
    stage.check("nothing that is masked shows", not any(hidden in text for hidden in CLEAR_TEXTS), text)
    stage.check("Ann's two orders have the same token", token_of(seen[0]) == token_of(seen[2]) != token_of(seen[1]), text)
    stage.check("names, which no mask covers, are untouched", "Ann" in text and "Ben" in text, text)
    stage.check("analytics-clear reads what was written", [json.loads(value) for value in clear] == ORDERS, clear)
    return "who may see a field is decided for each reader; equal values stay equal, so joins and counts still work."


def denied(stage):
    stage.begin(
        3,
        "A denied topic",
        ["svc-orders tries payments; analytics, which may read orders, tries to write there; mallory has a token and no binding."],
    )
    payments, orders = stage.named("payments"), stage.named("orders")
    said = stage.produce("svc-orders", payments, [{"amount": 1}])
    stage.check(f"svc-orders on payments: {DENIED}", said == [DENIED], said)
    said = stage.produce("analytics", orders, [{"id": 666}])
    stage.check(f"analytics writing to orders: {DENIED}", said == [DENIED], said)
    said = stage.produce("mallory", orders, [{"id": 667}])
    stage.check("mallory is not let in", said == ["_AUTHENTICATION"], said)
    end = stage.behind("list_offsets", topic=orders).get("latest")
    stage.check("the broker has the three records of step 1 and no more", end == 3, end)
    return "nothing allowed means denied, before a byte reaches a broker, in the error code that clients already know."


def conflict(stage):
    stage.begin(
        4,
        "A role set that is refused for a conflict of duties",
        [
            "alice answers for svc-orders, which writes to orders. frank tries to make her an administrator of topics too;",
            "then she could write records and delete them. The conflict set no-one-writes-and-deletes forbids it.",
        ],
    )
    code, said = stage.run("frank", "apply", "-f", stage.place.policy / "conflict.yaml")
    stage.check("refused, exit code 1", code == 1, code)
    for word in ["no-one-writes-and-deletes", "alice", "orders-writer", "topic-admin", stage.named("orders")]:
        stage.check(f"the refusal names {word}", word in said, said)
    names = stage.run("frank", "get", "Binding", "--names", quiet=True)[1]
    stage.check("the binding was not stored", "alice-administers" not in names, names)
    return "the combination is refused when it would be given, through a service that she owns, and before anybody used it."


def immutable(stage):
    stage.begin(
        5,
        "An immutable topic",
        [
            "carol may delete every topic and change its settings: she is the administrator, and orders shows it. ledger is immutable,",
            "whatever anybody's role. She tries to delete it, to let its records expire, to cut it, and by another client library.",
        ],
    )
    ledger = stage.named("ledger")
    offsets = stage.produce("svc-ledger", ledger, [{"entry": 1}, {"entry": 2}])
    stage.need("two entries written", offsets == [0, 1], offsets)
    answer = stage.ask("carol", "Java", "alter_configs", topic=stage.named("orders"), configs={"retention.ms": "86400000"})
    stage.check("carol changes the retention of orders", "error" not in answer, answer)
    tries = [
        ("Java", "delete_topic", {}, ["POLICY_VIOLATION", DENIED]),
        ("Java", "alter_configs", {"configs": {"retention.ms": "1000"}}, ["POLICY_VIOLATION"]),
        ("Java", "alter_configs", {"configs": {"cleanup.policy": "compact"}}, ["POLICY_VIOLATION"]),
        ("Java", "delete_records", {"before": 2}, [DENIED, "POLICY_VIOLATION"]),
        ("librdkafka", "delete_topic", {}, [DENIED, "POLICY_VIOLATION"]),
    ]
    for library, verb, fields, expected in tries:
        error = stage.ask("carol", library, verb, topic=ledger, **fields).get("error", {})
        stage.check(f"{verb} by {library}: {' or '.join(expected)}", error.get("name") in expected, error)
    offsets = stage.behind("list_offsets", topic=ledger)
    stage.check("both entries are still on the broker", (offsets.get("earliest"), offsets.get("latest")) == (0, 2), offsets)
    configs = stage.behind("describe_configs", topic=ledger).get("configs", {})
    kept = configs.get("retention.ms") == str(SEVEN_YEARS_MS) and configs.get("cleanup.policy") == "delete"
    stage.check("its settings are those it was created with", kept, {k: configs.get(k) for k in ("retention.ms", "cleanup.policy")})
    return "immutable closes the side doors as well, for the administrator too, and says why where the API can."


def around(stage):
    stage.begin(
        6,
        "The same client, straight to the broker",
        ["svc-orders takes the token that the gateway honours to the broker itself. The brokers answer the gateway's credential alone."],
    )
    orders = stage.named("orders")
    direct = {**brokers_address(stage.place), **by_token(stage.place, "svc-orders", "librdkafka")}
    said = stage.produce("svc-orders", orders, [{"id": 668}], config=direct, label="svc-orders at the broker", timeout_ms=10_000)
    stage.check("the token opens nothing", all(isinstance(one, str) for one in said), said)
    if stage.place.stranger:
        stranger = to_brokers(stage.place, "stranger", stage.place.stranger)
        fields = {"config": stranger, "label": "stranger at the broker"}
        said = stage.produce("stranger", orders, [{"id": 669}], **fields)
        stage.check(f"a right password without permission: {DENIED}", said == [DENIED], said)
    code, said = stage.run(None, "doctor", "--config", stage.place.run / "sluice.yaml")
    if stage.place.own_brokers:
        print("      (whom else your brokers answer is for you to say: shown, and not checked)")
    else:
        stage.check("`sluice doctor` finds no way around", code == 0, said)
    end = stage.behind("list_offsets", topic=orders).get("latest")
    stage.check("the broker has the three records of step 1 and no more", end == 3, end)
    if stage.place.own_brokers:
        return "a token for the gateway is worth nothing at the brokers."
    return "the gateway cannot be walked around: SASL and the brokers' own authorizer know nobody else."


def approval(stage):
    stage.begin(
        7,
        "A write that waits for a second person",
        [
            "payments is high-value: one of payments-owners has to approve. svc-payments, an ordinary idempotent producer, sends five",
            "records; they wait. bob, who owns the service, is refused. dave approves, and the waiting write goes through.",
        ],
    )
    payments = stage.named("payments")
    amounts = [{"n": n, "amount": 100 + n, "customer": ANN} for n in range(5)]
    records = [{"key": "payment", "value": json.dumps(amount)} for amount in amounts]
    settings = {"enable.idempotence": "true", "message.timeout.ms": "60000", "linger.ms": "0"}
    held = stage.order(
        "svc-payments", "librdkafka", "produce", topic=payments, records=records, settings=settings, timeout_ms=60_000
    )

    def is_asked(said):
        return any(payments in row.split() and "open" in row.split() for row in said.splitlines())

    listed = stage.find("an open approval request", "approvals", "list", "--open", name="dave", holds=is_asked)
    request = next(row.split()[0] for row in listed.splitlines() if payments in row.split())
    stage.check("the producer has no answer yet", not held.done())
    end = stage.behind("list_offsets", topic=payments).get("latest")
    stage.check("nothing is on the broker yet", end == 0, end)
    code, said = stage.run("bob", "approvals", "approve", request, "--reason", "it is mine")
    stage.check("bob, who owns svc-payments, is refused", code == 1 and "bob" in said, said)
    stage.check("the producer still has no answer", not held.done())
    code, said = stage.run("dave", "approvals", "approve", request, "--reason", "the monthly run")
    stage.need("dave's yes counts", code == 0 and "approved" in said, said)
    print("   svc-payments, librdkafka: the write that was waiting")
    answer = held.result(ANSWER_WITHIN_S)
    stage.show(answer)
    stage.check("all five written", stage.outcomes(answer) == list(range(5)), stage.outcomes(answer))
    read = values(stage.consume("analytics", payments, "analytics-payments", 5))
    order = [json.loads(value)["n"] for value in read]
    end = stage.behind("list_offsets", topic=payments).get("latest")
    stage.check("each exactly once and in order", order == list(range(5)) and end == 5, (order, end))
    return "approval needs no change in the client: it waits inside its own retries, and no record is lost, doubled or reordered."


def revocation(stage):
    stage.begin(
        8,
        "A change of policy on a live connection",
        [
            "analytics has a consumer open on orders. frank takes orders away from its role, and later gives it back.",
            "The consumer is not restarted and its connection is not closed.",
        ],
    )
    orders = stage.named("orders")
    settings = {"group.id": stage.named("analytics-live"), "client.id": "live"}
    live = {"client": "live", "assign": [{"topic": orders, "offset": 0}], "settings": settings, "label": "analytics, still open"}
    since = time.time()
    answer = stage.ask("analytics", "librdkafka", "consume", count=3, **live)
    stage.need("it reads three records", len(answer["records"]) == 3, answer)
    stage.apply("revoke.yaml")
    answer = stage.ask("analytics", "librdkafka", "consume", count=1, timeout_ms=15_000, **live)
    error = answer.get("error", {})
    stage.check(f"its fetch gets error 29, {DENIED}", error.get("code") == 29 and not answer["records"], answer)

    def poll_live():
        order = stage.drivers["librdkafka"].order
        return order("consume", {}, client="live", assign=live["assign"], count=1, timeout_ms=2000).result(ANSWER_WITHIN_S)

    def denials():
        stage.check("nothing of orders comes any more", not poll_live()["records"])
        return evidence(stage, "--kind", "Denied", "--principal", "User:analytics", "--from", ago(since))

    stage.until("evidence that a fetch was denied", denials)
    stage.apply("policy.yaml")
    offsets = stage.produce("svc-orders", orders, [{"id": 4, "customer": ANN}])
    stage.need("a fourth order is written", offsets == [3], offsets)

    def next_record():
        more = poll_live()
        return more if more["records"] else None

    print("   analytics, still open, librdkafka: consume")
    answer = stage.until("the fourth order reaches the consumer that stayed open", next_record, within_s=30)
    stage.show(answer)
    stage.check("and it is the fourth order", [record["offset"] for record in answer["records"]] == [3], answer)

    def denied_and_served(rows):
        kinds = [row["kind"] for row in rows]
        return "Denied" in kinds and "Outcome" in kinds[kinds.index("Denied") :] and "Outcome" in kinds[: kinds.index("Denied")]

    def one_session():
        sessions = {}
        for row in reversed(evidence(stage, "--principal", "User:analytics", "--topic", orders, "--from", ago(since))):
            sessions.setdefault(row["session"], []).append(row)
        return next((name for name, rows in sessions.items() if denied_and_served(rows)), None)

    session = stage.until("evidence of one session that was served, denied, and served again", one_session)
    stage.sessions["live"] = session
    print(f"      one session all along: {session}")
    stage.drivers["librdkafka"].order("close", {}, client="live").result(ANSWER_WITHIN_S)
    return "a revocation holds for the next request and for a fetch that is already waiting, without cutting the connection."


def search(stage):
    stage.begin(
        9,
        "The search that finds it all",
        ["erin, the auditor, looks for what happened, on the command line and on the dashboard."],
    )
    orders, payments = stage.named("orders"), stage.named("payments")
    searches = [
        ("who was denied", ["--kind", "Denied"], ["User:svc-orders", "User:carol", "User:analytics", stage.named("ledger")]),
        ("who is not let in", ["--kind", "AuthenticationFailed"], ["mallory"]),
        ("what was read masked", ["--kind", "Outcome", "--topic", orders, "--principal", "User:analytics"], ["masked", "delivered"]),
        ("what was read in clear", ["--kind", "Outcome", "--topic", orders, "--principal", "User:analytics-clear"], ["Fetch"]),
        ("what was asked", ["--kind", "ApprovalAsked"], ["User:svc-payments", payments]),
        ("who answered", ["--kind", "ApprovalDecided"], ["dave", payments]),
        ("who changed what is allowed", ["--kind", "ControlChange"], ["frank"]),
    ]
    for what, words, expected in searches:
        print(f"   {what}:")
        said = stage.find(
            f"evidence of {what}: {', '.join(expected)}",
            "evidence", "search", *words, "--from", "10m",
            holds=lambda said, expected=expected: all(word in said for word in expected),
        )  # fmt: skip
        if what == "what was read in clear":
            stage.check("no mask was used there", "masked" not in said, said)
    print("   the dashboard, with erin's token:")
    base = f"http://{LOOPBACK}:{stage.place.ports['dashboard']}"
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    stranger, _ = page(urllib.request.build_opener(), base + "/evidence", stage)
    stage.check("without a login there is only the login page", stranger.endswith("/login"), stranger)
    form = urllib.parse.urlencode({"token": stage.sluice.token("erin")}).encode()
    page(browser, base + "/login", stage, form)
    for path, word in [("/", "erin"), ("/evidence?kind=Denied", "svc-orders"), ("/approvals", "svc-payments"), ("/sessions", "analytics")]:
        at, text = page(browser, base + path, stage)
        stage.check(f"{path} shows {word}", at == base + path and word in text, at)
    return "requests, denials, masks, approvals and changes of policy are one searchable body of evidence, with the people in it."


def replay(stage):
    stage.begin(
        10,
        "The replay of a session",
        ["What the consumer of step 8 did and was told, in order: served through the mask, denied, served again."],
    )
    session = stage.sessions.get("live")
    stage.need("step 8 found its session", session)
    code, said = stage.run("erin", "sessions", "replay", session, lines_max=40)
    stage.need("the session is replayed", code == 0, said)
    at = said.find("Denied")
    stage.check("served through the mask first", 0 < said.find("masked") < at, said)
    stage.check("then denied", at > 0 and "topic" in said[at:].lower(), said)
    stage.check("then served again, offset 3", "offsets 3..3" in said[at:], said[at:])
    return "one session reads as a story, from its login to its last record, without a payload in it."


def verification(stage):
    stage.begin(
        11,
        "Evidence that proves itself",
        [
            "Each shard's evidence is a signed transparency log. It is verified where it is being written, with the keys that the",
            "control plane keeps; then one byte is flipped in a copy.",
        ],
    )
    logs = sorted((stage.place.state / "gateway" / "evidence").glob("shard-*"))
    stage.need("the gateway has logs", logs)
    key_file = stage.place.run / "log-keys"
    key_file.write_text("".join(f"{key}\n" for key in verifier_keys(stage)))
    code, said = stage.run(None, "evidence", "verify", "--key-file", key_file, *logs, leave_out="notice")
    stage.check("every log is intact", code == 0 and said.count(": INTACT") == len(logs), said)
    records = sum(int(count) for count in re.findall(r"(\d+) of them readable", said))
    stage.check("and holds the story's records", records > 50, said)
    largest = max((path for log in logs for path in log.glob("log/tile/entries/**/*") if path.is_file()), key=size)
    log = next(log for log in logs if log in largest.parents)
    copy = stage.place.run / "forged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(log, copy)
    target = copy / largest.relative_to(log)
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    print(f"   one byte of {largest.relative_to(log)} flipped, in a copy:")
    code, said = stage.run(None, "evidence", "verify", "--key-file", key_file, copy, leave_out="notice")
    stage.check("the forged copy is not intact", code == 1 and "NOT INTACT" in said, said)
    return "a record that is changed after it was signed is found out offline, with nothing but the log's public key."


STEPS = [
    policy_and_topics,
    allowed,
    masked,
    denied,
    conflict,
    immutable,
    around,
    approval,
    revocation,
    search,
    replay,
    verification,
]


def values(answer):
    return [record["value"] for record in answer.get("records", [])]


def token_of(value):
    return json.loads(value)["customer"]["email"]


def size(path):
    return path.stat().st_size


def ago(unix_s):
    return f"{int(time.time() - unix_s) + 1}s"


def evidence(stage, *words):
    """Evidence records, newest first."""
    code, said = stage.run("erin", "evidence", "search", "--json", *words, quiet=True)
    stage.need("evidence can be searched", code == 0, said)
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def page(browser, url, stage, form=None):
    """Where a request ended up, and the page there."""
    try:
        with browser.open(url, data=form, timeout=20) as answer:
            status, at, text = answer.status, answer.url, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, at, text = error.code, url, error.read().decode()
    print(f"      {'POST' if form else 'GET'} {url}: {status}" + (f", at {at}" if at != url else ""))
    stage.check(f"{url} answers 200", status == 200, text)
    return at, text


def verifier_keys(stage):
    """From the control plane's archive, which had them from the gateway's link: kept apart from the logs that they verify."""
    archive = sqlite3.connect(f"file:{stage.place.state}/control/archive.sqlite?mode=ro", uri=True)
    try:
        return [key for (key,) in archive.execute("SELECT verifier_key FROM log WHERE verifier_key <> ''")]
    finally:
        archive.close()
