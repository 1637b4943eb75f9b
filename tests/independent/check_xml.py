"""Reads XML with expat and turns the payload's elements back into JSON, as XPath's xml-to-json does.

Each record must be one well-formed document on one line, its payload equal to what went in.
Usage: check_xml.py FILE EVENTS_FOLDER COUNT
"""

import json
import sys
from decimal import Decimal
from xml.etree import ElementTree

XPATH = "{http://www.w3.org/2005/xpath-functions}"


def value(element):
    kind = element.tag.removeprefix(XPATH)
    if kind == "map":
        keys = [child.get("key") for child in element]
        assert len(set(keys)) == len(keys), f"a key twice in {keys}"
        return {child.get("key"): value(child) for child in element}
    assert len(element) == 0 or kind == "array", f"children in {kind}"
    match kind:
        case "array":
            return [value(child) for child in element]
        case "string":
            return element.text or ""
        case "number":
            return Decimal(element.text)
        case "boolean":
            assert element.text in ("true", "false"), element.text
            return element.text == "true"
        case "null":
            assert element.text is None, element.text
            return None
    raise AssertionError(f"element {element.tag}")


def shown(value):
    """As the formatter may write it: what XML cannot hold is U+FFFD."""
    if isinstance(value, str):
        bad = lambda letter: (ord(letter) < 0x20 and letter not in "\t\n\r") or letter in "\ufffe\uffff"
        return "".join("\ufffd" if bad(letter) else letter for letter in value)
    if isinstance(value, list):
        return [shown(each) for each in value]
    if isinstance(value, dict):
        return {shown(key): shown(each) for key, each in value.items()}
    return value


def main():
    path, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sent = {}
    for name, key in [("copybook", "event_id"), ("intelliguard", "id"), ("plain", "id")]:
        for line in open(f"{folder}/{name}.ndjson", encoding="utf-8"):
            event = json.loads(line, parse_float=Decimal, parse_int=Decimal)
            # Ids that are no texts are none; the event got one of its own.
            if isinstance(event.get(key), str):
                sent[event[key]] = event
    read = compared = 0
    for number, line in enumerate(open(path, "rb"), 1):
        root = ElementTree.fromstring(line)
        assert root.tag == "event", f"line {number}: {root.tag}"
        read += 1
        original = sent.get(root.findtext("id"))
        data = root.find("data")
        if original is not None and data is not None:
            assert data.get("format") == "elements" and len(data) == 1, f"line {number}"
            assert value(data[0]) == shown(original), f"line {number}: {value(data[0])} is not {shown(original)}"
            compared += 1
    assert read == count, f"{read} documents, wanted {count}"
    assert compared == len(sent), f"{compared} of {len(sent)} payloads were found again"
    print(f"read {read} documents; {compared} payloads equal what went in")


main()
