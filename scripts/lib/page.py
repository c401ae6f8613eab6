"""docs/performance.md: what stands between its marks, and the tables in there.

page.py put SECTION FILE MEASURED  puts what was measured, which is in FILE, between the marks of that section; MEASURED says when
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/performance.md"


class Fault(Exception):
    """Something is not there, or not as it has to be; for a reader."""


def marks(page, section):
    begin, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise Fault(f"docs/performance.md lacks its marks of {section}")
    return page.index(begin) + len(begin), page.index(end)


def between(page, section):
    begin, end = marks(page, section)
    return page[begin:end]


def replaced(page, section, text):
    begin, end = marks(page, section)
    return f"{page[:begin]}\n{text.strip()}\n\n{page[end:]}"


def measured(text):
    """When and of which commit, as scripts/performance wrote it."""
    found = re.findall(r"^Measured (.+)\.$", text, re.M)
    return found[-1] if found else None


@dataclass
class Table:
    title: str  # its heading, or what is in its first corner
    columns: list
    rows: dict  # by what the first column says: the others


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables(text):
    found, heading, lines = [], "", text.splitlines()
    for at, line in enumerate(lines):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        # The line under the names of the columns is what makes a table.
        if re.fullmatch(r"\|(-+\|)+", line) and at:
            corner, *columns = cells(lines[at - 1])
            rows = {}
            for row in lines[at + 1 :]:
                if not row.startswith("|"):
                    break
                first, *rest = cells(row)
                rows[first] = rest
            found.append(Table(corner if heading == "" else heading, columns, rows))
    return found


def cell(found, title, row, column):
    """What a table says; the names of what is missing are in the fault."""
    titled = [table for table in found if table.title == title]
    if not titled:
        raise Fault(f"no table *{title}*")
    having = [table for table in titled if column in table.columns]
    if not having:
        raise Fault(f"no column *{column}* in *{title}*")
    for table in having:
        if row in table.rows:
            at = table.columns.index(column)
            if at >= len(table.rows[row]):
                raise Fault(f"nothing in column *{column}* of *{row}* in *{title}*")
            return table.rows[row][at]
    raise Fault(f"no row *{row}* in *{title}*")


def put(section, path, when):
    # One level below the page's own headings.
    found = re.sub(r"^### ", "#### ", Path(path).read_text().strip(), flags=re.M)
    PAGE.write_text(replaced(PAGE.read_text(), section, f"{found}\n\nMeasured {when}."))


if __name__ == "__main__":
    try:
        {"put": put}[sys.argv[1]](*sys.argv[2:])
    except Fault as fault:
        sys.exit(f"performance: {fault}")
