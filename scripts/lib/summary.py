"""The first table of docs/performance.md: what the tables beneath it say, beside the goals, which are here.

summary.py          writes it; exit code 1 if there is a row for which the page has no figure, and the row says which is missing
summary.py --check  writes nothing; exit code 1 if it is not what the tables say
"""

import math
import re
import sys
from dataclasses import dataclass
from typing import Callable, NamedTuple

import page

ANCHORS = {
    "ladder": "beside-haproxy-in-front-of-a-broker-that-costs-nothing",
    "hot": "hot",
    "steps": "one-stage-more-with-each-step",
    "compare": "kafka-directly-and-through-the-gateway",
    "stages": "one-stage-at-a-time",
    "scale": "ten-thousand-roles-over-ten-thousand-topics",
}

PRODUCE = "Produce, 100 records of 1 KiB a request, closed loop"
CONSUME = "Consume in the clear, 1 MiB a Fetch, closed loop"
MASKED = "Consume, 3 of the 20 fields of each record masked by the gateway, 1 MiB a Fetch, closed loop"
PING = "Ping, a Fetch that waits for nothing, one at a time on one connection, closed loop"
PING_RATE = "Ping, 2,000 a second, open loop"
SMALL = "Produce, one record of 100 bytes a request on {} connections, closed loop"
FAIRNESS = "Ping-pong on one connection, alone and beside two that consume as fast as they can"
SLOW = "Readers, 1,000 a second, alone and beside 64 that hardly read"
CHURN_PING = "A change of policy each second: ping, 2,000 a second on one connection, open loop"
CHURN_PRODUCE = "A change of policy each second: produce, 2,000 records of 100 bytes a second on one connection, open loop"
TLS_PRODUCE = "TLS on both sides: produce, 100 records of 1 KiB a request, closed loop"
TLS_CONSUME = "TLS on both sides: consume in the clear, 1 MiB a Fetch, closed loop"
CONNECTIONS = "Memory of connections that wait"
VALUE = "masking: 1 KiB of JSON, 40 scalars, 4 fields"
BATCH = "masking: a batch of 100 such documents, all different, {}"
DECISION = "decision: a topic this connection knows"

CPU_GB = "CPU s per GB, own process"
CPU_REQUEST = "CPU us per request, own process"
RATE = "MB/s of records"


class Figure(NamedTuple):
    middle: float
    least: float
    most: float
    digits: int = 2

    def times(self, factor, digits):
        return Figure(self.middle * factor, self.least * factor, self.most * factor, digits)

    def shown(self, unit):
        middle, least, most = (f"{value:.{self.digits}f}" for value in self[:3])
        return f"{middle} {unit}" if least == most == middle else f"{middle} {unit} ({least} to {most})"


@dataclass
class Section:
    name: str
    text: str

    def __post_init__(self):
        self.tables = page.tables(self.text)

    def figure(self, title, row, column):
        """`1.84 (1.68 to 2.05)`, or one number."""
        cell = page.cell(self.tables, title, row, column)
        found = re.fullmatch(r"(\d+(?:\.(\d+))?)(?: \((\d+(?:\.\d+)?) to (\d+(?:\.\d+)?)\))?", cell)
        if not found:
            raise page.Fault(f"no figure but *{cell}* in column *{column}* of *{row}* in *{title}*")
        middle = float(found[1])
        least, most = (float(found[3]), float(found[4])) if found[3] else (middle, middle)
        return Figure(middle, least, most, len(found[2] or ""))


class Goal(NamedTuple):
    how: str
    value: float
    unit: str

    def met(self, value):
        return {"at most": value <= self.value, "at least": value >= self.value, "below": value < self.value}[self.how]

    def verdict(self, figure):
        met = self.met(figure.middle)
        all_rounds = {self.met(value) for value in figure[:3]} == {met}
        return ("met" if met else "missed") + ("" if all_rounds else ", not in all rounds")

    def __str__(self):
        return f"{self.how} {self.value:g} {self.unit}"


class Row(NamedTuple):
    measure: str
    against: str
    goal: Goal | None  # none: it is told, and that is all
    unit: str
    section: str
    figure: Callable  # of the section
    note: Callable = lambda section: ""  # what stands beside it


def table(title, row, column, scale=1, digits=None):
    def figure(section):
        found = section.figure(title, row, column)
        return found if scale == 1 else found.times(scale, digits)

    return figure


def difference(title, row, column, other):
    """Of two medians; least and most are as far apart as the rounds allow."""

    def figure(section):
        own, less = section.figure(title, row, column), section.figure(title, row, other)
        return Figure(own.middle - less.middle, own.least - less.most, own.most - less.least, 2)

    return figure


def quotient(title, row, other, column):
    def figure(section):
        value = section.figure(title, row, column).middle / section.figure(title, other, column).middle
        return Figure(value, value, value)

    return figure


def seconds_and_bytes(section):
    """Of the test with ten thousand roles, which prints lines and no table."""
    units = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1}
    parse = re.search(r"^parse and check ([\d.]+)(ns|µs|ms|s)\b", section.text, re.M)
    load = re.search(r"^compile and load ([\d.]+)(ns|µs|ms|s), (\d+) bytes", section.text, re.M)
    if not parse or not load:
        raise page.Fault("no line *parse and check*, or none *compile and load*")
    return sum(float(found[1]) * units[found[2]] for found in (parse, load)), int(load[3]) / 1e6


def scale(at):
    def figure(section):
        value = seconds_and_bytes(section)[at]
        return Figure(value, value, value, 1)

    return figure


def beside(form, title, row, column):
    return lambda section: form.format(section.figure(title, row, column).shown("x"))


def count(section):
    """How many waited, if it was not the number that the row speaks of."""
    found = re.search(r"^(\d+) connections, resident memory", section.text, re.M)
    return "" if found and found[1] == "5000" else f"of {found[1] if found else '?'} connections"


def added(title, row):
    """What the gateway adds to the way without a proxy, over what HAProxy adds, of medians."""

    def figure(section):
        direct, other, own = (section.figure(title, row, name).middle for name in ("direct", "haproxy", "gateway"))
        value = (own - direct) / (other - direct) if other > direct else math.inf
        return Figure(value, value, value)

    return figure


def latency_rows():
    rows = []
    for at in ("p50", "p99"):
        for section, goal, said in (("ladder", 1.3, ""), ("hot", 0.8, ", hot")):
            for title, what in ((PING, "ping-pong"), (PING_RATE, "2,000 a second")):
                row = f"latency {at}, us"
                whole = beside("whole {}", title, row, "gateway / haproxy")
                name, most = f"added to {at}, {what}{said}", Goal("at most", goal, "x")
                rows.append(Row(name, "what HAProxy adds", most, "x", section, added(title, row), whole))
    return rows


OF_P99, REST_OF_P99 = "the former / p99 of the run", "the latter / p99 of the run"
SPLICE, SPLICED = "HAProxy, splice", "gateway / haproxy-splice"
MOST_1_2, LEAST_0_9 = Goal("at most", 1.2, "x"), Goal("at least", 0.9, "x")
TLS_MORE = Goal("at most", 0.8, "s more")

ROWS = [
    Row("CPU per GB, produce, 100 x 1 KiB a request", SPLICE, MOST_1_2, "x", "ladder", table(PRODUCE, CPU_GB, SPLICED)),
    Row("CPU per GB, consume in the clear", SPLICE, MOST_1_2, "x", "ladder", table(CONSUME, CPU_GB, SPLICED)),
    Row("throughput, produce", SPLICE, LEAST_0_9, "x", "ladder", table(PRODUCE, RATE, SPLICED)),
    Row("throughput, consume in the clear", SPLICE, LEAST_0_9, "x", "ladder", table(CONSUME, RATE, SPLICED)),
    Row("CPU per GB, consume, 3 of 20 fields masked", SPLICE, Goal("at most", 2.6, "x"), "x", "ladder",
        table(MASKED, CPU_GB, SPLICED)),
    *(
        Row(f"a masked batch, {codec}", "its decompression and compression alone", Goal("at least", goal, "of the rate"),
            "of the rate", "stages", table(BATCH.format(codec), "decompress and compress alone", "ratio"))
        for codec, goal in (("zstd", 0.65), ("lz4", 0.55))
    ),
    *latency_rows(),
    Row("CPU per request at 2,000 a second", "HAProxy", Goal("at most", 1.3, "x"), "x", "ladder",
        table(PING_RATE, CPU_REQUEST, "gateway / haproxy")),
    *(
        Row(f"CPU per small request, {connections} connections", "HAProxy", MOST_1_2, "x", "ladder",
            table(SMALL.format(connections), CPU_REQUEST, "gateway / haproxy"))
        for connections in (32, 128)
    ),
    Row("p50, ping-pong beside bulk on the same core", "the same alone", Goal("at most", 2, "x"), "x", "ladder",
        table(FAIRNESS, "p50, beside / alone", "gateway"), beside("HAProxy {}", FAIRNESS, "p50, beside / alone", "haproxy-splice")),
    Row("p50 of readers beside 64 that hardly read", "the same alone", None, "x", "ladder",
        table(SLOW, "p50, beside / alone", "gateway")),
    *(
        Row(f"longest pause while policy changes, {what}", "p99 of the run", Goal("below", 1, "x"), "x", "ladder",
            table(title, OF_P99, "gateway"), beside("with no change {}", title, REST_OF_P99, "gateway"))
        for what, title in (("ping", CHURN_PING), ("produce", CHURN_PRODUCE))
    ),
    *(
        Row(f"CPU per GB with TLS on both sides, {what}", "HAProxy, the same", None, "x", "ladder",
            table(title, CPU_GB, "gateway-tls / haproxy-tls"))
        for what, title in (("produce", TLS_PRODUCE), ("consume", TLS_CONSUME))
    ),
    *(
        Row(f"CPU s per GB with TLS on both sides, {what}", "its own without", TLS_MORE, "s more", "ladder",
            difference(title, CPU_GB, "gateway-tls", "gateway"))
        for what, title in (("produce", TLS_PRODUCE), ("consume", TLS_CONSUME))
    ),
    Row("idle CPU", "-", Goal("at most", 1, "% of a core"), "% of a core", "ladder",
        table("Idle, no connection", "gateway", "CPU ms per s", 0.1, 1)),
    *(
        Row(f"a connection that waits, one of 5,000, {what}", "-", Goal("at most", goal, "KiB"), "KiB", "ladder",
            table(CONNECTIONS, name, "KiB a connection"), count)
        for what, name, goal in (("plain", "gateway", 12), ("TLS on both sides", "gateway-tls", 32))
    ),
    *(
        Row("validation and search of 1 KiB of JSON", parser, Goal("at least", goal, "x as fast"), "x as fast", "stages",
            quotient(VALUE, row, "mask_value, validate and find only: no field is there", "ns/op"))
        for parser, row, goal in (
            ("serde_json", "serde_json to Value, parse only", 5.5),
            ("simd-json's tape", "simd-json to tape, copy and parse only", 1.6),
        )
    ),
    Row("a decision on a known topic", "-", Goal("at most", 8, "ns"), "ns", "stages",
        table(DECISION, "decide_known, remembered", "ns/op")),
    Row("a decision on first sight", "-", Goal("at most", 100, "ns"), "ns", "stages", table(DECISION, "decide, first time", "ns/op")),
    Row("10,000 roles over 10,000 topics, until they decide", "-", Goal("below", 10, "s"), "s", "scale", scale(0)),
    Row("10,000 roles over 10,000 topics, in memory", "-", Goal("below", 100, "MB"), "MB", "scale", scale(1)),
]


def summary(text):
    """The table, and what is missing of it."""
    sections = {name: Section(name, page.between(text, name)) for name in ANCHORS}
    lines = [
        "| measure, policy and evidence on, no TLS unless it says so | against | goal | measured | the goal is | section |",
        "|---|---|---|---|---|---|",
    ]
    faults, verdicts = [], []
    for row in ROWS:
        section = sections[row.section]
        verdict = "-"
        try:
            figure = row.figure(section)
            said = figure.shown(row.unit)
            note = row.note(section)
            said += f"; {note}" if note else ""
            if row.goal:
                verdict = row.goal.verdict(figure)
        except (page.Fault, ZeroDivisionError) as fault:
            faults.append(f"{row.measure}: {fault} of section {row.section}")
            said, verdict = f"**missing: {fault}**", "unknown" if row.goal else "-"
        if row.goal:
            verdicts.append(verdict)
        lines.append(f"| {row.measure} | {row.against} | {row.goal or '-'} | {said} | {verdict} | [{row.section}] |")
    met = sum(verdict.startswith("met") for verdict in verdicts)
    when = [f"[{name}] {page.measured(section.text) or 'does not say when'}" for name, section in sections.items()]
    lines += [
        "",
        f"{met} of {len(verdicts)} goals are met. It is the median that meets or misses; *not in all rounds* where the goal lies between",
        "the least and the most, which are in brackets. A difference is that of two medians, and its brackets are as far apart as their rounds allow.",
        "What is added to a latency is what there is above *direct*, of medians.",
        "",
        "Measured: " + ";\n".join(when) + ".",
        "",
        *(f"[{name}]: #{anchor}" for name, anchor in ANCHORS.items()),
    ]
    return "\n".join(lines), faults


def main(arguments):
    text = page.PAGE.read_text()
    try:
        found, faults = summary(text)
        page_now = page.replaced(text, "summary", found)
    except page.Fault as fault:
        sys.exit(f"summary: {fault}")
    if arguments == ["--check"]:
        if page_now != text:
            sys.exit("summary: the first table of docs/performance.md is not what its tables say; python3 scripts/lib/summary.py writes it")
    else:
        page.PAGE.write_text(page_now)
    for fault in faults:
        print(f"summary: {fault}", file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main(sys.argv[1:])
