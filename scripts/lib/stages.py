"""Tables and one figure of what scripts/stages has measured: stages.py FIGURE.svg BASE..., of BASE.json (`loadgen compare`)."""

import json
import sys
from html import escape
from pathlib import Path
from statistics import median

TITLES = {
    "produce": "Produce, 100 records of 1 KiB a request",
    "consume": "Consume, 1 MiB a Fetch",
    "ping": "Ping, a Fetch that waits for nothing",
}


class Load:
    """The stages of one load, in order; each with its cost in every round."""

    def __init__(self, base):
        self.name = Path(base).name
        found = json.loads(Path(f"{base}.json").read_text())
        self.plan = found["plan"]
        # A ping moves no records.
        self.by_bytes = all(r["result"]["record_bytes"] for t in found["targets"] for r in t["rounds"])
        self.unit = "CPU s per GB" if self.by_bytes else "CPU us per request"
        self.digits = 3 if self.by_bytes else 1
        self.stages = [(t["name"], t["rounds"], [self.cost(t["name"], r) for r in t["rounds"]]) for t in found["targets"]]

    def cost(self, name, measured):
        seconds = measured["cpu_s"].get(name, 0.0)
        result = measured["result"]
        return seconds / (result["record_bytes"] / 1e9) if self.by_bytes else seconds * 1e6 / result["answered"]

    def spread(self, middle, values, sign=""):
        middle, least, most = (f"{value:{sign}.{self.digits}f}" for value in (middle, min(values), max(values)))
        return f"{middle} ({least} to {most})"

    def table(self):
        rate = "MB/s of records" if self.by_bytes else "requests/s"
        lines = [f"### {TITLES[self.name]}", "", f"**{self.plan}**", ""]
        lines += [f"| stage | {self.unit} | step | {rate} | latency p50, us |", "|---|---|---|---|---|"]
        before = self.stages[0][2]
        for name, rounds, costs in self.stages:
            # Of the medians, so that steps add up; it lies between the least and the most of the rounds' own.
            step = self.spread(median(costs) - median(before), [now - then for now, then in zip(costs, before)], "+")
            before = costs
            results = [measured["result"] for measured in rounds]
            moved = "record_bytes" if self.by_bytes else "answered"
            per_s = median(r[moved] / r["elapsed_s"] for r in results) / (1e6 if self.by_bytes else 1)
            p50 = median(r["latency_us"]["p50"] for r in results)
            cells = ("-", "-") if name == "direct" else (self.spread(median(costs), costs), step)
            lines.append(f"| {name} | {cells[0]} | {cells[1]} | {per_s:.0f} | {p50:.0f} |")
        return "\n".join(lines + ["", f"Median of {len(self.stages[0][1])} rounds (least to most).", ""])


# -- The figure: one panel per load, one bar per stage. The grey part is what the stage before cost; green is what a stage
# costs less.

PANEL_WIDTH, PANEL_GAP, LEFT, TOP, HEIGHT, BOTTOM = 300, 36, 24, 64, 210, 52
STYLE = """
  .ground{fill:#fff}.text{fill:#1f2328}.quiet{fill:#59636e}.before{fill:#c9d1d9}.more{fill:#0969da}.less{fill:#1a7f37}
  .axis,.level{stroke:#59636e;stroke-width:1}.level{stroke-dasharray:2 3}
  text{font:12px system-ui,sans-serif}.title{font-size:13px;font-weight:600}.step{font-weight:600}
  @media(prefers-color-scheme:dark){.ground{fill:#0d1117}.text{fill:#e6edf3}.quiet{fill:#9198a1}.before{fill:#3d444d}
  .more{fill:#4493f8}.less{fill:#3fb950}.axis,.level{stroke:#9198a1}}
"""


def rect(kind, x, y, width, height):
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(height, 0.5):.1f}"/>'


def text(kind, x, y, what, anchor="middle"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(what)}</text>'


def panel(load, left):
    base = TOP + HEIGHT
    drawn = [text("text title", left, 28, TITLES[load.name], "start"), text("quiet", left, 45, load.unit, "start")]
    costs = [(name, median(costs)) for name, _, costs in load.stages]
    scale = (HEIGHT - 30) / max(cost for _, cost in costs)
    slot = PANEL_WIDTH / len(costs)
    before = 0.0
    for at, (name, cost) in enumerate(costs):
        x, width = left + at * slot + slot * 0.1, slot * 0.8
        middle, top, was = x + width / 2, base - cost * scale, base - before * scale
        if name != "direct":
            drawn.append(rect("before", x, max(top, was), width, base - max(top, was)))
            kind = "more" if cost >= before else "less"
            drawn.append(rect(kind, x, min(top, was), width, abs(top - was)))
            step = f"{cost - before:+.{load.digits - 1}f}"
            step = step if step.strip("+-0.") else "0"
            drawn.append(text("text", middle, min(top, was) - 18, f"{cost:.{load.digits - 1}f}"))
            drawn.append(text("text step", middle, min(top, was) - 5, step))
        else:
            drawn.append(text("text", middle, base - 5, "0"))
        if at + 1 < len(costs) and cost:
            drawn.append(f'<path class="level" d="M{x + width:.1f} {top:.1f}h{slot * 0.2:.1f}"/>')
        for line, word in enumerate(name.split("-")):
            drawn.append(text("text", middle, base + 16 + 13 * line, word))
        before = cost
    drawn.append(f'<path class="axis" d="M{left} {base}h{PANEL_WIDTH}"/>')
    return drawn


def figure(loads):
    width = 2 * LEFT + len(loads) * PANEL_WIDTH + (len(loads) - 1) * PANEL_GAP
    height = TOP + HEIGHT + BOTTOM
    described = "; ".join(
        f"{TITLES[load.name]}, {load.unit}: " + ", ".join(f"{name} {median(costs):.{load.digits}f}" for name, _, costs in load.stages)
        for load in loads
    )
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        f"<title>What each stage costs</title><desc>{escape(described)}</desc><style>{STYLE}</style>",
        rect("ground", 0, 0, width, height),
    ]
    for at, load in enumerate(loads):
        drawn += panel(load, LEFT + at * (PANEL_WIDTH + PANEL_GAP))
    return "\n".join(drawn + ["</svg>", ""])


def main(path, *bases):
    loads = [Load(base) for base in bases]
    for load in loads:
        print(load.table())
    Path(path).write_text(figure(loads))


main(*sys.argv[1:])
