"""Where the story is played: what each step shows, what everybody said, and whether that was as told."""

import json
import textwrap
import time

from clients import ANSWER_WITHIN_S, Sluice, java, librdkafka, through_gateway, to_brokers

LINES_MAX = 14
LINES_TAIL = 3
LINE_CHARS = 150


class Differs(Exception):
    """Something that the rest of a step needs is not as told."""


class Stage:
    def __init__(self, place):
        self.place = place
        self.sluice = Sluice(place)
        self.drivers = {"Java": java(place), "librdkafka": librdkafka(place)}
        self.differences = []
        self.sessions = {}  # what later steps look for, by what it is

    def end(self):
        for driver in self.drivers.values():
            driver.end()

    # What people read.

    def begin(self, number, title, shows):
        self.differences = []
        print(f"\n== {number}. {title}")
        for line in shows:
            print(f"   {line}")
        print(flush=True)

    def say(self, text, lines_max=LINES_MAX):
        """What somebody said, in their own words; the middle of what is too long for a screen is left out."""
        lines = []
        for line in text.rstrip("\n").split("\n"):
            indent = " " * (len(line) - len(line.lstrip()) + 4)
            lines += self.wrap(line, indent)
        if len(lines) > lines_max + 1:
            left_out = f"... {len(lines) - lines_max} lines ..."
            lines = [*lines[: lines_max - LINES_TAIL], left_out, *lines[-LINES_TAIL:]]
        for line in lines:
            print(f"      {line}".rstrip())
        print(end="", flush=True)

    def wrap(self, line, indent):
        return textwrap.wrap(line, LINE_CHARS, subsequent_indent=indent, break_on_hyphens=False) or [""]

    def check(self, what, holds, saw=""):
        if not holds:
            self.differences.append(f"expected: {what}" + (f"; saw: {str(saw)[:600]}" if saw != "" else ""))
        return holds

    def need(self, what, holds, saw=""):
        if not self.check(what, holds, saw):
            raise Differs

    def finish(self, proves):
        """Whether all was as told."""
        print(f"\n   Proves: {proves}")
        for difference in self.differences:
            print(f"   DIFFERENT  {difference}")
        if not self.differences:
            print("   ok")
        return not self.differences

    # Names. On somebody's own cluster they all start with the run's prefix.

    def named(self, name):
        return self.place.prefix + name

    # Who acts.

    def run(self, name, *words, quiet=False, leave_out=None, lines_max=LINES_MAX):
        """A verb of `sluice` as this person: exit code and everything that it printed."""
        code, out, err = self.sluice.call(name, *words)
        if not quiet:
            shown = " ".join(self.shown(word) for word in words)
            print(f"   {name or 'anybody'}$ sluice {shown}")
            lines = (out + err).strip().split("\n")
            kept = [line for line in lines if not leave_out or not line.strip().startswith(leave_out)]
            if len(kept) < len(lines):
                kept.append(f"(and {len(lines) - len(kept)} lines that start with `{leave_out}`)")
            self.say("\n".join(kept) or "(nothing)", lines_max)
            if code:
                print(f"      exit code {code}")
        return code, out + err

    def shown(self, word):
        run = f"{self.place.run}/"
        word = str(word)
        return word.removeprefix(run) if word.startswith(run) else json.dumps(word) if " " in word else word

    def order(self, name, library, verb, config=None, label=None, **fields):
        """A future of a client's answer; `show` prints it."""
        settings = through_gateway(self.place, name, library) if config is None else dict(config)
        settings |= fields.pop("settings", {})
        shown = {key: value for key, value in fields.items() if key in ("topic", "topics", "group", "configs", "before")}
        words = " ".join(value if isinstance(value, str) else json.dumps(value) for value in shown.values())
        print(f"   {label or name}, {library}: {verb} {words}", flush=True)
        return self.drivers[library].order(verb, settings, **fields)

    def ask(self, name, library, verb, **fields):
        """A client's answer, shown."""
        answer = self.order(name, library, verb, **fields).result(ANSWER_WITHIN_S)
        self.show(answer)
        return answer

    def show(self, answer):
        lines = []
        for result in answer.get("results", []):
            if "error" in result:
                lines.append(error_text(result["error"]))
            else:
                lines.append(f"written: {result['topic']}-{result['partition']} offset {result['offset']}")
        for record in answer.get("records", []):
            lines.append(f"read: {record['topic']}-{record['partition']} offset {record['offset']}  {record['value']}")
        if "error" in answer:
            lines.append(error_text(answer["error"]))
        for key in ("earliest", "latest", "topics", "groups"):
            if key in answer:
                lines.append(f"{key}: {answer[key]}")
        self.say("\n".join(lines or ["done"]))

    def produce(self, name, topic, values, library="librdkafka", **fields):
        """Each record's offset, or its error's name."""
        records = [{"key": f"key-{number}", "value": json.dumps(value)} for number, value in enumerate(values)]
        answer = self.ask(name, library, "produce", topic=topic, records=records, **fields)
        return self.outcomes(answer)

    def outcomes(self, answer):
        if "error" in answer:
            return [answer["error"]["name"]]
        return [result["error"]["name"] if "error" in result else result["offset"] for result in answer["results"]]

    def consume(self, name, topic, group, count, library="librdkafka", **fields):
        settings = {"group.id": self.named(group), "auto.offset.reset": "earliest"}
        return self.ask(name, library, "consume", topics=[topic], count=count, settings=settings, **fields)

    def behind(self, verb, **fields):
        """The brokers' own word, asked behind the gateway's back and not shown."""
        return self.drivers["librdkafka"].order(verb, to_brokers(self.place), **fields).result(ANSWER_WITHIN_S)

    # Waiting for what comes soon.

    def until(self, what, ask, within_s=20):
        """Asks again until there is an answer."""
        end = time.monotonic() + within_s
        while True:
            found = ask()
            if found:
                return found
            if time.monotonic() > end:
                self.need(f"{what} within {within_s} s", False)
            time.sleep(0.1)

    def find(self, what, *words, name="erin", within_s=20, holds=bool):
        """A verb's output, once it holds what is looked for; shown then."""
        last = [""]

        def ask():
            code, last[0] = self.run(name, *words, quiet=True)
            return code == 0 and holds(last[0]) and last[0]

        try:
            return self.until(what, ask, within_s)
        finally:
            print(f"   {name}$ sluice {' '.join(self.shown(word) for word in words)}")
            self.say(last[0].strip() or "(nothing)")

    def apply(self, file):
        """Puts a file in force as frank, and waits until the gateway has it."""
        code, said = self.run("frank", "apply", "-f", self.place.policy / file)
        self.need(f"{file} is accepted", code == 0, said)
        revision = said.rstrip().rsplit(" ", 1)[-1]

        def has_it():
            rows = self.run("oscar", "gateways", quiet=True)[1].splitlines()[1:]
            return any(revision in row.split() for row in rows)

        self.until(f"the gateway has revision {revision}", has_it)
        print(f"      the gateway has revision {revision}", flush=True)


def error_text(error):
    message = error["message"] if error["message"] != error["name"] else ""
    return f"{error['class']} {error['name']}: {message}".strip(": ")
