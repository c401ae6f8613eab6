"""Tables of scripts/ladder that `loadgen` does not write itself, from its JSON: medians of the rounds (least to most)."""

import json
import statistics
import sys


def spread(values, digits):
    """As `loadgen compare` writes it."""
    if not values:
        return "-"
    shown = [f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def table(columns, rows, rounds):
    print("|  | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\nMedian of {rounds} rounds (least to most).\n")


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def fairness(run, rounds, *targets):
    """Ping alone and beside the bulk; ratios are of the same round."""
    rounds = range(1, int(rounds) + 1)

    def results(target, part):
        return [read(f"{run}/fairness-{target}-{part}-{round}.json")["result"] for round in rounds]

    found = {target: {part: results(target, part) for part in ("alone", "beside", "bulk")} for target in targets}

    def row(figure, digits):
        return [spread([figure(*parts) for parts in zip(*found[target].values())], digits) for target in targets]

    rows = []
    for at in ("p50", "p99"):
        rows += [
            (f"ping {at} alone, us", row(lambda alone, beside, bulk: alone["latency_us"][at], 0)),
            (f"ping {at} beside the bulk, us", row(lambda alone, beside, bulk: beside["latency_us"][at], 0)),
            (f"{at}, beside / alone", row(lambda alone, beside, bulk: beside["latency_us"][at] / alone["latency_us"][at], 2)),
        ]
    rows.append(("bulk, MB/s of records", row(lambda alone, beside, bulk: bulk["record_bytes"] / bulk["elapsed_s"] / 1e6, 0)))
    table(targets, rows, len(rounds))


def slow(run, rounds, *targets):
    """Readers alone and beside others that hardly read; ratios are of the same round."""
    rounds = range(1, int(rounds) + 1)
    found = {target: [read(f"{run}/slow-{target}-{round}.json")["result"] for round in rounds] for target in targets}

    def row(figure, digits):
        return [spread([figure(result["beside"]["normal, alone"], result) for result in found[target]], digits) for target in targets]

    rows = []
    for at in ("p50", "p99"):
        rows += [
            (f"{at} alone, us", row(lambda alone, _: alone["latency_us"][at], 0)),
            (f"{at} beside slow ones, us", row(lambda _, beside: beside["latency_us"][at], 0)),
            (f"{at}, beside / alone", row(lambda alone, beside: beside["latency_us"][at] / alone["latency_us"][at], 2)),
        ]
    rows.append(("failed or unanswered", row(lambda _, beside: beside["failed"] + beside["unanswered"], 0)))
    table(targets, rows, len(rounds))


def churn(run, rounds, load, *targets):
    """What the load felt around the changes, and in the rest of the same run."""
    rounds = range(1, int(rounds) + 1)
    found = {target: [read(f"{run}/churn-{load}-{target}-{round}.json")["result"] for round in rounds] for target in targets}

    def row(figure, digits):
        return [spread([figure(result["churn"], result) for result in found[target]], digits) for target in targets]

    rows = [
        ("changes of policy", row(lambda churn, _: churn["ends"].get("exit 0", 0), 0)),
        ("the longest took, ms", row(lambda churn, _: churn["longest_ms"], 0)),
        ("requests during changes", row(lambda churn, _: churn["inside"]["requests"], 0)),
    ]
    for at in ("p50", "p99"):
        rows += [
            (f"{at} during changes, us", row(lambda churn, _: churn["inside"]["latency_us"][at], 0)),
            (f"{at} in the rest, us", row(lambda churn, _: churn["outside"]["latency_us"][at], 0)),
        ]
    rows += [
        ("longest between two answers, during changes, us", row(lambda churn, _: churn["inside"]["gap_us_max"], 0)),
        ("longest between two answers, in the rest, us", row(lambda churn, _: churn["outside"]["gap_us_max"], 0)),
        ("the former / p99 of the run", row(lambda churn, all: churn["inside"]["gap_us_max"] / all["latency_us"]["p99"], 2)),
        ("the latter / p99 of the run", row(lambda churn, all: churn["outside"]["gap_us_max"] / all["latency_us"]["p99"], 2)),
    ]
    table(targets, rows, len(rounds))


def tls(path):
    """What TLS costs over the plain gateway of the same round."""
    targets = {target["name"]: target["rounds"] for target in read(path)["targets"]}

    def per_gb(name):
        return [round["cpu_s"][name] / round["result"]["record_bytes"] * 1e9 for round in targets[name]]

    ratios = [own / other for own, other in zip(per_gb("gateway-tls"), per_gb("gateway"))]
    table(["gateway-tls / gateway"], [("CPU s per GB, own process", [spread(ratios, 2)])], len(ratios))


if __name__ == "__main__":
    {"fairness": fairness, "slow": slow, "churn": churn, "tls": tls}[sys.argv[1]](*sys.argv[2:])
