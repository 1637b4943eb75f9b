"""Reads messages with Python's protobuf, from a descriptor made here, and compares them with the events in
Bulkhead's own shape.

FILE has a message a line, in hexadecimal digits, behind the prefix of a registry.
Usage: check_protobuf.py FILE EVENTS COUNT
"""

import json
import sys
from decimal import Decimal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

Field = descriptor_pb2.FieldDescriptorProto
# The schema's id is 42; the message is the second one of the file.
PREFIX = b"\0\0\0\0\x2a\x02\x02"
SEVERITIES = ["UNSPECIFIED", "INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL"]


def event_class():
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="acme", syntax="proto3", dependency=["google/protobuf/timestamp.proto"])
    severity = file.enum_type.add(name="Severity")
    for number, name in enumerate(SEVERITIES):
        severity.value.add(name=f"SEVERITY_{name}", number=number)
    file.message_type.add(name="First")
    event = file.message_type.add(name="Event")
    place = event.nested_type.add(name="Place")
    place.field.add(name="ip", number=1, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    place.field.add(name="port", number=2, type=Field.TYPE_UINT32, label=Field.LABEL_OPTIONAL)
    entry = event.nested_type.add(name="MetadataEntry")
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), 1):
        entry.field.add(name=name, number=number, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    add = lambda name, number, kind, label=Field.LABEL_OPTIONAL, of=None: event.field.add(name=name, number=number, type=kind, label=label, type_name=of)
    add("id", 1, Field.TYPE_STRING)
    add("time", 2, Field.TYPE_MESSAGE, of=".google.protobuf.Timestamp")
    add("severity", 3, Field.TYPE_ENUM, of=".acme.Severity")
    add("roles", 4, Field.TYPE_STRING, Field.LABEL_REPEATED)
    add("metadata", 5, Field.TYPE_MESSAGE, Field.LABEL_REPEATED, ".acme.Event.MetadataEntry")
    add("dstport", 6, Field.TYPE_UINT32)
    add("data", 7, Field.TYPE_BYTES)
    add("place", 8, Field.TYPE_MESSAGE, of=".acme.Event.Place")
    pool = descriptor_pool.DescriptorPool()
    timestamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(timestamp)
    pool.Add(timestamp)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("acme.Event"))


def exact(text):
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def main():
    path, events, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sent = {event["id"]: event for event in map(exact, open(events, encoding="utf-8"))}
    event_type = event_class()
    read = places = 0
    for number, line in enumerate(open(path, encoding="ascii"), 1):
        record = bytes.fromhex(line)
        assert record.startswith(PREFIX), f"line {number} begins with {record[:8].hex()}"
        message = event_type.FromString(record[len(PREFIX):])
        # Nothing is written twice, and nothing that a reader would not write: written anew it has the same length.
        assert len(message.SerializeToString()) == len(record) - len(PREFIX), f"line {number}"
        event = sent[message.id]
        time = timestamp_pb2.Timestamp()
        time.FromJsonString(event["time"])
        assert (message.time.seconds, message.time.nanos) == (time.seconds, time.nanos), f"line {number}: {message.time}, sent {event['time']}"
        severity = event.get("severity", "unspecified")
        assert SEVERITIES[message.severity] == severity.upper(), f"line {number}: {message.severity}, sent {severity}"
        assert list(message.roles) == event.get("roles", []), f"line {number}: {message.roles}"
        assert dict(message.metadata) == event.get("metadata", {}), f"line {number}: {message.metadata}"
        assert message.dstport == event.get("dstport", 0), f"line {number}: {message.dstport}"
        data = event.get("data")
        text = message.data.decode()
        assert (text == "") if data is None else (text == data) if isinstance(data, str) else (exact(text) == data), f"line {number}: {text!r}"
        place = data.get("destination") if isinstance(data, dict) else None
        if isinstance(place, dict):
            assert (message.place.ip, message.place.port) == (place.get("ip", ""), place.get("port", 0)), f"line {number}: {message.place}"
            places += 1
        read += 1
    assert read == count == len(sent), f"{read} messages of {len(sent)} events, wanted {count}"
    assert places > 0, "no event has a destination"
    print(f"read {read} messages")


main()
