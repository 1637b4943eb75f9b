"""Reads requests of OTLP/HTTP with the Protocol Buffers classes of the OpenTelemetry project, in both encodings,
holds the two against each other and against what went in.

Usage: check_otlp.py FOLDER EVENTS_FOLDER COUNT
"""

import base64
import json
import pathlib
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

SEVERITIES = {"Info": 9, "Low": 10, "Medium": 13, "High": 17, "Critical": 21}


def from_json(body):
    """OTLP's JSON differs from that of Protocol Buffers in its ids: they are hexadecimal."""
    tree = json.loads(body)
    for resource in tree["resourceLogs"]:
        for scope in resource["scopeLogs"]:
            for record in scope["logRecords"]:
                for name in ["traceId", "spanId"]:
                    if name in record:
                        record[name] = base64.b64encode(bytes.fromhex(record[name])).decode()
    # Unknown fields are errors here.
    return json_format.ParseDict(tree, ExportLogsServiceRequest())


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(element) for element in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return None if kind is None else getattr(value, kind)


def records(requests):
    found = {}
    for request in requests:
        for resource in request.resource_logs:
            attributes = {pair.key: plain(pair.value) for pair in resource.resource.attributes}
            assert attributes["service.name"] == "audit", attributes
            for scope in resource.scope_logs:
                assert scope.scope.name == "bulkhead"
                for record in scope.log_records:
                    pairs = {pair.key: plain(pair.value) for pair in record.attributes}
                    assert len(pairs) == len(record.attributes), "an attribute twice"
                    assert attributes.get("host.name") == pairs.get("host.name"), (attributes, pairs)
                    assert len(record.trace_id) in (0, 16) and len(record.span_id) in (0, 8)
                    key = (pairs.get("cloudevents.event_source"), pairs["log.record.uid"])
                    assert key not in found, key
                    found[key] = (record, pairs)
    return found


def main():
    folder, events, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    text = records([from_json(path.read_bytes()) for path in folder.glob("*.json")])
    binary = records([ExportLogsServiceRequest.FromString(path.read_bytes()) for path in folder.glob("*.pb")])
    assert len(text) == len(binary) == count, (len(text), len(binary), count)
    for key, (record, _) in text.items():
        assert record == binary[key][0], f"{key}: the encodings differ:\n{record}\n{binary[key][0]}"
    compared = traces = 0
    by_id = {uid: found for (_, uid), found in text.items()}
    for line in open(f"{events}/copybook.ndjson", encoding="utf-8"):
        event = json.loads(line)
        record, pairs = by_id[event["event_id"]]
        assert record.severity_number == SEVERITIES[event["severity"]], record.severity_number
        assert pairs["audit.integrityhash"] == event["integrity_hash"]
        assert plain(record.body) == event, "the payload differs"
        compared += 1
    for line in open(f"{events}/cloudevents.ndjson", encoding="utf-8"):
        event = json.loads(line)
        record, pairs = by_id[event["id"]]
        assert record.event_name == event["type"] and pairs["cloudevents.event_source"] == event["source"]
        if "data" in event:
            assert plain(record.body) == event["data"], (plain(record.body), event["data"])
        elif "data_base64" not in event:
            assert record.body.WhichOneof("value") is None
        else:
            assert record.body.bytes_value == base64.b64decode(event["data_base64"])
        if "traceparent" in event:
            _, trace, span, flags = event["traceparent"].split("-")
            assert (record.trace_id.hex(), record.span_id.hex(), record.flags) == (trace, span, int(flags, 16))
            traces += 1
        compared += 1
    assert traces > 0
    print(f"read {len(text)} log records in both encodings; {compared} compared with what went in")


main()
