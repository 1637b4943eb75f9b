"""Reads data with fastavro and compares them with the events in Bulkhead's own shape.

FILE has a datum a line, in hexadecimal digits, behind the prefix of a registry or of a single object.
Usage: check_avro.py FILE EVENTS COUNT
"""

import io
import json
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

SCHEMA = {
    "type": "record",
    "name": "SecurityEvent",
    "namespace": "example.security",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "event_type", "type": "string"},
        {"name": "severity", "type": "string"},
        {"name": "source_ip", "type": "string"},
        {"name": "payload", "type": "string"},
    ],
}
SCHEMA_ID = 42


def exact(text):
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def millis(text):
    """Whole milliseconds, later digits cut."""
    head, _, rest = text.replace("Z", "+00:00").partition(".")
    digits = "".join(letter for letter in rest.split("+")[0].split("-")[0])
    zone = rest[len(digits):] if rest else ""
    moment = datetime.fromisoformat(head + zone).astimezone(timezone.utc)
    return moment.replace(microsecond=0) + timedelta(milliseconds=int((digits + "000")[:3]))


def main():
    path, events, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sent = {event["id"]: event for event in map(exact, open(events, encoding="utf-8"))}
    schema = fastavro.parse_schema(SCHEMA)
    single = b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(SCHEMA), "CRC-64-AVRO"))
    confluent = b"\0" + SCHEMA_ID.to_bytes(4, "big")
    read = 0
    for number, line in enumerate(open(path, encoding="ascii"), 1):
        datum = bytes.fromhex(line)
        prefix = single if datum[0] == 0xC3 else confluent
        assert datum.startswith(prefix), f"line {number} begins with {datum[:10].hex()}, wanted {prefix.hex()}"
        stream = io.BytesIO(datum[len(prefix):])
        record = fastavro.schemaless_reader(stream, schema)
        assert stream.read() == b"", f"line {number}: bytes behind the datum"
        event = sent[record["id"]]
        for name, attribute in (("event_type", "type"), ("severity", "severity"), ("source_ip", "srcip")):
            assert record[name] == event.get(attribute, ""), f"line {number}: {name} is {record[name]!r}, sent {event.get(attribute)!r}"
        assert record["timestamp"] == millis(event["time"]), f"line {number}: {record['timestamp']} of {event['time']}"
        data = event.get("data")
        payload = "" if data is None else record["payload"] if isinstance(data, str) else exact(record["payload"])
        assert payload == ("" if data is None else data), f"line {number}: {record['payload']!r}"
        read += 1
    assert read == count == len(sent), f"{read} data of {len(sent)} events, wanted {count}"
    print(f"read {read} data")


main()
