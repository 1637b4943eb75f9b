"""Reads CloudEvents in binary mode with the SDK of the CloudEvents project and compares them with the same events in
the structured format.

Usage: check_cloudevents_http.py REQUESTS STRUCTURED COUNT; a request a line, `{"headers": {...}, "body": "<base64>"}`.
"""

import base64
import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat


def main():
    requests, structured, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    wanted = {}
    for line in open(structured, "rb"):
        event = JSONFormat().read(None, line)
        wanted[event.get_id()] = event
    read = 0
    for number, line in enumerate(open(requests, encoding="utf-8"), 1):
        request = json.loads(line)
        headers = {name.lower(): value for name, value in request["headers"].items()}
        message = HTTPMessage({name: value for name, value in headers.items() if name == "content-type" or name.startswith("ce-")}, base64.b64decode(request["body"]))
        assert message.headers["ce-specversion"] == "1.0", f"line {number}: {message.headers}"
        event = from_http_event(message)
        want = wanted[event.get_id()]
        attributes, expected = dict(event.get_attributes()), dict(want.get_attributes())
        # Where the attribute is absent the JSON format assumes this type, and a body needs one.
        if want.get_data() is not None:
            expected.setdefault("datacontenttype", "application/json")
        assert attributes.keys() == expected.keys(), f"line {number}: {attributes.keys() ^ expected.keys()}"
        for name, value in expected.items():
            # Headers are texts; JSON spells booleans in lower case.
            text = json.dumps(value) if isinstance(value, (bool, int)) else value
            assert attributes[name] == text, f"line {number}: {name} is {attributes[name]!r}, wanted {text!r}"
        assert event.get_data() == want.get_data(), f"line {number}: data is {event.get_data()!r}, wanted {want.get_data()!r}"
        read += 1
    assert read == count, f"{read} events, wanted {count}"
    print(f"read {read} events")


main()
