"""Reads records of a template with the parsers of Python and compares them with the events in Bulkhead's own shape.

Each record has id, type, user, host and the payload, as JSON, CSV or XML.
Usage: check_template.py json|csv|xml FILE EVENTS COUNT
"""

import csv
import io
import json
import sys
from decimal import Decimal
from xml.etree import ElementTree


def exact(text):
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def shown(value):
    """As XML may hold it: what it cannot is U+FFFD."""
    bad = lambda letter: (ord(letter) < 0x20 and letter not in "\t\n\r") or letter in "\ufffe\uffff"
    return "".join("\ufffd" if bad(letter) else letter for letter in value)


def records(kind, path):
    text = open(path, encoding="utf-8", newline="").read()
    if kind == "csv":
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            yield dict(zip(("id", "type", "user", "host", "data"), row, strict=True))
        return
    for line in text.splitlines() if kind == "xml" else text.split("\n")[:-1]:
        if kind == "json":
            record = exact(line)
            # The same values between quotes.
            assert record.pop("text") == "|".join(record[name] or "" for name in ("id", "type", "user", "host")), line
            yield record
        else:
            event = ElementTree.fromstring(line)
            yield {**event.attrib, "data": event.text or ""}


def main():
    kind, path, events, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    sent = {}
    for line in open(events, encoding="utf-8"):
        event = exact(line)
        sent[event["id"]] = event
    read = 0
    for record in records(kind, path):
        event = sent[record["id"]] if kind != "xml" else next(event for own, event in sent.items() if shown(own) == record["id"])
        for name in ("type", "user", "host"):
            want = event.get(name)
            if kind != "json":
                want = want or ""
            if kind == "xml":
                want = shown(want)
            assert record[name] == want, f"{record['id']}: {name} is {record[name]!r}, sent {want!r}"
        want = event.get("data")
        if kind == "json":
            assert record["data"] == want, f"{record['id']}: {record['data']!r}"
        elif want is None:
            assert record["data"] == "", record
        elif isinstance(want, str):
            assert record["data"] == (shown(want) if kind == "xml" else want), record
        else:
            assert exact(record["data"]) == want, f"{record['id']}: {record['data']!r}"
        read += 1
    assert read == count == len(sent), f"{read} records of {len(sent)} events, wanted {count}"
    print(f"read {read} records")


main()
