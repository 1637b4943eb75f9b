"""Runs the program with jq itself (libjq) and the rows in Python, and compares. jq keeps numbers as doubles once it
has looked at them, so numbers are compared as such.

Usage: check_mapping_jq.py PROGRAM FILE EVENTS COUNT
"""

import json
import sys

import jq


def doubles(text):
    return json.loads(text, parse_int=float)


def main():
    program, path, events, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    compiled = jq.compile(program)
    sent = {}
    for line in open(events, encoding="utf-8"):
        made = doubles(compiled.input_text(line).text())
        sent[json.loads(line)["id"]] = {name: made[name] for name in ("id", "user", "data", "metadata") if made.get(name) is not None}
    read = 0
    for line in open(path, encoding="utf-8"):
        record = doubles(line)
        want = sent[record["id"]]
        assert record == want, f"{line}wanted {want}"
        read += 1
    assert read == count == len(sent), f"{read} records of {len(sent)} events, wanted {count}"
    print(f"read {read} records")


main()
