"""python3 -m unittest discover --start-directory scripts/lib --pattern '*_test.py'; a part of scripts/test unit."""

import re
import unittest
from pathlib import Path

import page
import summary

ROOT = Path(__file__).parents[2]
PAGE = page.PAGE.read_text()
MEASURE = "CPU per GB, produce, 100 x 1 KiB a request"


def row(found, measure=MEASURE):
    return page.cells(next(line for line in found.splitlines() if line.startswith(f"| {measure} |")))


def broken(was, becomes, section="ladder"):
    """The page with one change in one section."""
    text = page.between(PAGE, section)
    assert was in text, f"this test wants {was!r} on the page"
    return page.replaced(PAGE, section, text.replace(was, becomes, 1))


class Recording(summary.Section):
    """A section that has every figure, and knows what it was asked for."""

    def __init__(self, name):
        super().__init__(name, "parse and check 1s\ncompile and load 1s, 1 bytes\n")
        self.asked = []

    def figure(self, title, row, column):
        self.asked.append((title, row))
        return summary.Figure(1, 1, 1)


class Summary(unittest.TestCase):
    def fails(self, text, said, *measures):
        """These rows and no others say what is missing, and whoever called is told."""
        found, faults = summary.summary(text)
        self.assertEqual(list(measures), [fault.split(": ")[0] for fault in faults])
        self.assertEqual(len(measures), found.count("**missing: "))
        for measure in measures:
            self.assertIn(f"**missing: {said}", row(found, measure)[3])
            self.assertEqual("unknown", row(found, measure)[4])

    def test_the_page_has_a_figure_for_every_row(self):
        found, faults = summary.summary(PAGE)
        self.assertEqual([], faults)
        self.assertEqual(len(summary.ROWS), found.count("\n| "))

    def test_a_table_that_is_missing_is_said_in_its_row(self):
        text = broken(f"#### {summary.PRODUCE}\n", "#### Another load\n")
        self.fails(text, f"no table *{summary.PRODUCE}*", MEASURE, "throughput, produce")

    def test_a_column_that_is_missing_is_said_in_its_row(self):
        text = page.between(PAGE, "ladder")
        begin = text.index(f"#### {summary.PRODUCE}\n")
        text = text[:begin] + text[begin:].replace("gateway / haproxy-splice", "gateway / other", 1)
        self.fails(page.replaced(PAGE, "ladder", text), "no column *gateway / haproxy-splice*", MEASURE, "throughput, produce")

    def test_a_row_that_is_missing_or_has_no_figure_or_too_few_is_said_in_its_row(self):
        line = re.search(r"^\| CPU s per GB, own process .*$", page.between(PAGE, "ladder"), re.M)[0]
        before = line[: line.rindex("|", 0, -1)]
        self.fails(broken(f"{line}\n", ""), "no row *CPU s per GB, own process*", MEASURE)
        self.fails(broken(line, f"{before}| - |"), "no figure but *-*", MEASURE)
        self.fails(broken(line, f"{before}| 1.1 (1.0 to) |"), "no figure but *1.1 (1.0 to)*", MEASURE)
        self.fails(broken(line, f"{before}|"), "nothing in column", MEASURE)

    def test_lines_that_are_missing_are_said_in_their_rows(self):
        text = broken("compile and load", "compile", "scale")
        self.fails(text, "no line", *(f"10,000 roles over 10,000 topics, {what}" for what in ("until they decide", "in memory")))

    def test_marks_that_are_missing_or_crossed_are_an_error(self):
        for mark in ("<!-- ladder -->", "<!-- end of ladder -->", "<!-- stages -->"):
            with self.assertRaisesRegex(page.Fault, "lacks its marks"):
                summary.summary(PAGE.replace(mark, ""))
        swapped = PAGE.replace("<!-- hot -->", "?").replace("<!-- end of hot -->", "<!-- hot -->").replace("?", "<!-- end of hot -->")
        with self.assertRaisesRegex(page.Fault, "marks of hot"):
            summary.summary(swapped)

    def test_the_median_meets_or_misses_and_rounds_that_differ_are_said(self):
        most, least = summary.Goal("at most", 1.2, "x"), summary.Goal("at least", 0.9, "x")
        for goal, figure, verdict in [
            (most, (1.2, 1.1, 1.2), "met"),
            (most, (1.2, 1.1, 1.3), "met, not in all rounds"),
            (most, (1.21, 1.21, 1.3), "missed"),
            (most, (1.3, 1.0, 1.3), "missed, not in all rounds"),
            (least, (0.9, 0.9, 2.0), "met"),
            (least, (0.8, 0.5, 1.0), "missed, not in all rounds"),
            (summary.Goal("below", 1, "x"), (1, 1, 1), "missed"),
        ]:
            self.assertEqual(verdict, goal.verdict(summary.Figure(*figure)), (goal, figure))

    def test_a_row_has_median_least_and_most_of_the_table(self):
        line = re.search(r"^\| CPU s per GB, own process .*$", page.between(PAGE, "ladder"), re.M)[0]
        found, _ = summary.summary(broken(line, line[: line.rindex("|", 0, -1)] + "| 1.19 (1.01 to 1.25) |"))
        self.assertEqual(
            [MEASURE, "HAProxy, splice", "at most 1.2 x", "1.19 x (1.01 to 1.25)", "met, not in all rounds", "[ladder]"], row(found)
        )

    def test_a_difference_is_of_medians_and_as_wide_as_its_rounds_allow(self):
        text = "#### T\n\n| | own | other |\n|---|---|---|\n| CPU | 1.5 (1.4 to 1.9) | 0.5 (0.4 to 0.6) |\n"
        found = summary.difference("T", "CPU", "own", "other")(summary.Section("ladder", text))
        self.assertEqual("1.00 s (0.80 to 1.50)", found.shown("s"))

    def test_what_is_added_is_above_the_way_without_a_proxy(self):
        text = "#### T\n\n| | direct | haproxy | gateway |\n|---|---|---|---|\n| p50 | 100 (90 to 120) | 200 | 180 |\n"
        found = summary.added("T", "p50")(summary.Section("hot", text))
        self.assertEqual("0.80 x", found.shown("x"))
        nothing = summary.added("T", "p50")(summary.Section("hot", text.replace("| 200 |", "| 90 |")))
        self.assertFalse(summary.Goal("at most", 0.8, "x").met(nothing.middle))

    def test_sections_say_when_they_were_measured_and_one_that_does_not_is_told(self):
        text = page.replaced(PAGE, "hot", "#### Nothing\n\nMeasured on 2031-01-02 at commit abcdef0-dirty.\n")
        found, _ = summary.summary(page.replaced(text, "compare", "#### Nothing\n"))
        self.assertIn("[hot] on 2031-01-02 at commit abcdef0-dirty;", found)
        self.assertIn("[compare] does not say when;", found)

    def test_scripts_and_benchmarks_print_the_titles_and_rows_that_are_looked_for(self):
        ladder = "".join(path.read_text() for path in [ROOT / "scripts/ladder", *(ROOT / "scripts/lib").glob("ladder-*")])
        stages = (ROOT / "bench/counts.txt").read_text() + "".join(
            path.read_text() for path in (ROOT / "bench/benches").rglob("*.rs")
        )
        for line in summary.ROWS:
            section = Recording(line.section)
            line.figure(section)
            line.note(section)
            source = ladder if line.section in ("ladder", "hot") else stages
            for title, _ in section.asked:
                self.assertIn(title, source)
            if line.section == "stages":
                for _, name in section.asked:
                    self.assertIn(name, source)

    def test_links_lead_to_headings_of_the_page(self):
        headings = re.findall(r"^#+ (.*)$", PAGE, re.M)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        self.assertLessEqual(set(summary.ANCHORS.values()), anchors)


if __name__ == "__main__":
    unittest.main()
