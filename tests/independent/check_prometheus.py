"""Reads samples with the official client's parsers and compares them with the events in Bulkhead's own shape.

Usage: check_prometheus.py text|openmetrics FILE EVENTS COUNT
"""

import datetime
import json
import re
import sys
from decimal import Decimal

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

LIMIT = 256


def cut(value):
    return value.encode()[:LIMIT].decode(errors="ignore")


def labels(event):
    wanted = {"id": event["id"], "source": event.get("source"), "event_type": event.get("type"), "severity": event.get("severity")}
    return {name: cut(value) for name, value in wanted.items() if value}


def moment(text):
    """Nanoseconds since 1970, without floats."""
    head, fraction, zone = re.fullmatch(r"(.{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text).groups()
    at = datetime.datetime.fromisoformat(head + zone.replace("Z", "+00:00"))
    seconds = (at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(seconds=1)
    return seconds * 10**9 + int((fraction or "0")[:9].ljust(9, "0"))


def main():
    kind, path, events, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    sent = {event["id"]: event for event in map(json.loads, open(events, encoding="utf-8"))}
    written = open(path, encoding="utf-8", newline="").read()
    if kind == "openmetrics":
        families = list(openmetrics(written + "# EOF\n"))
    else:
        families = list(text(written))
    read = 0
    for family in families:
        assert family.name == "audit_event" and family.type == "unknown", family
        for sample in family.samples:
            event = sent[sample.labels["id"]]
            assert sample.labels == labels(event), f"{sample.labels} of {event}"
            assert sample.value == 1, sample
            if event.get("time"):
                want = moment(event["time"])
                if kind == "openmetrics":
                    have = sample.timestamp.sec * 10**9 + sample.timestamp.nsec
                else:
                    have, want = round(Decimal(repr(sample.timestamp)) * 1000), want // 10**6
                assert have == want, f"{sample.timestamp} of {event['time']}"
            read += 1
    assert read == count == len(sent), f"{read} samples of {len(sent)} events, wanted {count}"
    print(f"read {read} samples")


main()
