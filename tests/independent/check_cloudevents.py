"""Reads CloudEvents with the SDK of the CloudEvents project and compares them with what went in.

Usage: check_cloudevents.py FILE EVENTS_FOLDER COUNT
"""

import json
import re
import sys

from cloudevents.core.formats.json import JSONFormat

CORE = {"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema"}


def main():
    path, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sent = {}
    for name in ["datavault", "cloudevents"]:
        for line in open(f"{folder}/{name}.ndjson", encoding="utf-8"):
            event = json.loads(line)
            sent[event["id"]] = event
    read = compared = 0
    for number, line in enumerate(open(path, "rb"), 1):
        try:
            event = JSONFormat().read(None, line)
        except Exception as error:
            raise AssertionError(f"line {number}: {error}: {line[:200]!r}") from error
        attributes = event.get_attributes()
        for name, value in attributes.items():
            # CloudEvents 1.0.2, "Naming conventions" and "Type system": no lists, no maps, no null.
            assert re.fullmatch(r"[a-z0-9]+", name), f"line {number}: attribute {name}"
            assert isinstance(value, (str, bool, int)) or name == "time", f"line {number}: {name} is {value!r}"
            assert not isinstance(value, int) or isinstance(value, bool) or -(2**31) <= value < 2**31, f"line {number}: {name} is {value}"
        read += 1
        original = sent.get(attributes["id"])
        if original is not None:
            for name in CORE - {"time"}:
                if name in original:
                    assert attributes.get(name) == original[name], f"line {number}: {name} is {attributes.get(name)!r}, sent {original[name]!r}"
            for name in original.keys() - CORE - {"data", "data_base64", "severity"}:
                assert attributes.get(name) == original[name], f"line {number}: {name} is {attributes.get(name)!r}, sent {original[name]!r}"
            if "data" in original:
                assert event.get_data() == original["data"], f"line {number}: data differs"
            compared += 1
    assert read == count, f"{read} events, wanted {count}"
    assert compared == len(sent), f"{compared} of {len(sent)} CloudEvents were found again"
    print(f"read {read} events; {compared} compared with what went in")


main()
