#!/usr/bin/env python3
"""Writes src/shapes.rs: the layout of every message that the gateway speaks, as constant tables.

Source: the message specs inside Kafka's client library (Apache-2.0), version 4.4.0:

    mvn dependency:get -Dartifact=org.apache.kafka:kafka-clients:4.4.0
    ./generate_shapes.py ~/.m2/repository/org/apache/kafka/kafka-clients/4.4.0/kafka-clients-4.4.0.jar

Which APIs and versions are written follows from the rows of src/api.rs.
"""

import json
import pathlib
import re
import sys
import zipfile

HERE = pathlib.Path(__file__).parent
VERSION_MAX = 32767
NONE = (1, 0)
FIXED_BYTES = {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8, "uuid": 16}


def load_spec(jar, name):
    text = jar.read(f"common/message/{name}.json").decode()
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.M))


def parse_versions(text):
    """'3+', '1-4', '2', 'none' or None, as an inclusive pair."""
    if text is None or text == "none":
        return NONE
    if text.endswith("+"):
        return (int(text[:-1]), VERSION_MAX)
    low, _, high = text.partition("-")
    return (int(low), int(high or low))


def intersect(a, b):
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else NONE


class Tables:
    """Rust statics for structs, each distinct one written once."""

    def __init__(self):
        self.name_of = {}
        self.lines = []

    def add(self, name, fields):
        body = ", ".join(fields)
        if body not in self.name_of:
            self.name_of[body] = name
            self.lines.append(f"static {name}: [Field; {len(fields)}] = [{body}];")
        return self.name_of[body]


def shout(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def kind_of(tables, prefix, field, spec, spoken):
    kind = field["type"]
    element = kind.removeprefix("[]")
    if element in FIXED_BYTES:
        rust = f"Fixed({FIXED_BYTES[element]})"
    elif element == "string":
        rust = "Text"
    elif element in ("bytes", "records"):
        rust = "Blob"
    else:
        inner = field.get("fields") or next(s["fields"] for s in spec.get("commonStructs", []) if s["name"] == element)
        table = struct_of(tables, f"{prefix}_{shout(field['name'])}", inner, spec, spoken)
        rust = f"Struct(&{table})"
    return f"Array(&{rust})" if kind.startswith("[]") else rust


def struct_of(tables, prefix, fields, spec, spoken):
    rows = []
    for field in fields:
        versions = intersect(parse_versions(field["versions"]), spoken)
        if versions == NONE:
            continue
        assert "flexibleVersions" not in field, (prefix, field["name"])
        nullable = intersect(parse_versions(field.get("nullableVersions")), versions)
        tagged = intersect(parse_versions(field.get("taggedVersions")), versions)
        assert tagged in (NONE, versions), (prefix, field["name"])
        kind = kind_of(tables, prefix, field, spec, versions)
        row = f"f({kind}, {versions[0]}, {versions[1]})"
        if nullable != NONE:
            row = f"n({row}, {nullable[0]}, {nullable[1]})"
        if tagged != NONE:
            row = f"t({row}, {field['tag']})"
        rows.append(row)
    return tables.add(prefix, rows)


def spoken_apis():
    """(key, name, versions) of every row of the table that is not withheld."""
    text = (HERE / "src" / "api.rs").read_text()
    rows = re.findall(r'(?:row|cold|local)\((\d+), "(\w+)", \((\d+), (\d+)\)', text)
    return [(int(key), name, (int(low), int(high))) for key, name, low, high in rows]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    tables = Tables()
    arms = {"request": [], "response": []}
    with zipfile.ZipFile(sys.argv[1]) as jar:
        for key, name, spoken in spoken_apis():
            for direction in ("request", "response"):
                spec = load_spec(jar, name + direction.capitalize())
                low, high = parse_versions(spec["validVersions"])
                assert low <= spoken[0] and spoken[1] <= high, (name, direction)
                table = struct_of(tables, shout(name + direction.capitalize()), spec["fields"], spec, spoken)
                flexible = parse_versions(spec["flexibleVersions"])
                first = VERSION_MAX if flexible == NONE else flexible[0]
                arms[direction].append(
                    f"        {key} => m({spoken[0]}, {spoken[1]}, {first}, &{table}),"
                )

    with open(HERE / "src" / "shapes.rs", "w") as out:
        out.write(
            "//! Layouts of the messages that the gateway speaks. Written by `generate_shapes.py` from the message specs of\n"
            "//! Apache Kafka 4.4.0 (Apache-2.0); not edited by hand.\n\n"
            "use crate::shape::Kind::{Array, Blob, Fixed, Struct, Text};\n"
            "use crate::shape::{Field, Message, field as f, message as m, nullable as n, tagged as t};\n\n"
        )
        out.write("\n".join(tables.lines) + "\n")
        for direction in ("request", "response"):
            out.write(f"\npub(crate) fn {direction}(api_key: i16) -> Option<Message> {{\n    Some(match api_key {{\n")
            out.write("\n".join(arms[direction]) + "\n        _ => return None,\n    })\n}\n")


main()
