"""Maps the events in Bulkhead's own shape once more, in Python, and compares.

Usage: check_mapping.py FILE EVENTS COUNT
"""

import hashlib
import json
import sys
from decimal import Decimal

LEVELS = {"info": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}


def exact(text):
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def put(target, path, value):
    if value is None:
        return
    *parents, name = path.split(".")
    for parent in parents:
        target = target.setdefault(parent, {})
    target[name] = value


def mapped(event):
    out = {}
    put(out, "event.id", event["id"])
    put(out, "event.kind", event.get("type", "event"))
    put(out, "event.level", LEVELS.get(event.get("severity"), 0))
    user = event.get("user")
    if isinstance(user, str):
        put(out, "actor.hash", hashlib.sha256(user.strip().lower().encode()).hexdigest()[:16])
    roles = event.get("roles")
    if roles is not None:
        put(out, "actor.roles", ",".join(roles))
    if event.get("type") is not None and event.get("host") is not None:
        put(out, "message", f"{event['type']} on {event['host']}")
    put(out, "labels", event.get("metadata"))
    data = event.get("data")
    if isinstance(data, dict):
        put(out, "count", len(data))
    put(out, "payload", data)
    return out


def main():
    path, events, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sent = {event["id"]: event for event in map(exact, open(events, encoding="utf-8"))}
    read = 0
    for line in open(path, encoding="utf-8"):
        record = exact(line)
        want = mapped(sent[record["event"]["id"]])
        assert record == want, f"{line}wanted {want}"
        read += 1
    assert read == count == len(sent), f"{read} records of {len(sent)} events, wanted {count}"
    print(f"read {read} records")


main()
