"""Reads CEF lines with parsers that others wrote.

pycef takes a line apart; cefevent knows the standard's dictionary: names, types, lengths of fields.
pycef does not know escaped characters in the header, so those lines are taken apart here by the
standard's rule (a pipe that no backslash precedes ends a field) and only their fields are checked.
Usage: check_cef.py FILE EVENTS_FOLDER COUNT
"""

import json
import re
import sys

import pycef
from cefevent import CEFEvent

HEADER = ["DeviceVendor", "DeviceProduct", "DeviceVersion", "DeviceEventClassID", "Name", "Severity"]
# In the standard (version 25, 2019) but not in cefevent's dictionary.
ALSO = {"outcome": 63, "reason": 1023, "sproc": 1023, "sourceServiceName": 1023, "dpriv": 1023, "spriv": 1023}


def unescape(text):
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), text, flags=re.S)


def fields(extension):
    """Key and raw value pairs: a key is what stands before an equals sign that is not escaped."""
    starts = list(re.finditer(r"(?:^|(?<= ))([A-Za-z0-9_.\[\]]+)(?<!\\)=", extension))
    ends = [start.start() for start in starts[1:]] + [len(extension)]
    return [(start[1], extension[start.end():end].rstrip(" ")) for start, end in zip(starts, ends)]


def check_field(number, key, value):
    known = CEFEvent._extension_dictionary.get(key)
    if known is None:
        assert key in ALSO, f"line {number}: {key} is no field of the standard"
        assert len(value) <= ALSO[key], f"line {number}: {key} has {len(value)} characters"
        return
    if "TimeStamp" in known["data_type"]:
        assert re.fullmatch(r"\d{13}", value) or re.fullmatch(r"[A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d(\.\d{3})?( \S+)?", value), f"line {number}: {key} is no time: {value}"
        return
    value = int(value) if known["data_type"] in (["Integer"], ["Long"]) and re.fullmatch(r"-?\d+", value) else value
    if value == 0:
        return  # cefevent takes a zero for a failure
    event = CEFEvent(strict=True)
    try:
        event.set_field(key, value)
    except ValueError:
        raise AssertionError(f"line {number}: {key}={value!r} breaks {known['data_type']} of length {known['length']}")


def main():
    path, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    events = {}
    for line in open(f"{folder}/copybook.ndjson", encoding="utf-8"):
        event = json.loads(line)
        events[event["integrity_hash"]] = event
    lines = open(path, encoding="utf-8", newline="\n").read().removesuffix("\n").split("\n")
    parsed = compared = 0
    for number, line in enumerate(lines, 1):
        assert line.startswith("CEF:0|"), f"line {number}: {line[:40]}"
        parts = re.split(r"(?<!\\)\|", line, maxsplit=7)
        assert len(parts) == 8, f"line {number}: {len(parts)} parts"
        severity = parts[6]
        assert severity.isdigit() and 0 <= int(severity) <= 10, f"line {number}: severity {severity}"
        pairs = fields(parts[7])
        assert len({key for key, _ in pairs}) == len(pairs), f"line {number}: a key twice"
        for key, value in pairs:
            check_field(number, key, unescape(value))
        labels = {key[:-5] for key, _ in pairs if key.endswith("Label")}
        slots = {key for key, _ in pairs if re.fullmatch(r"c[sn]\d|cfp\d|c6a\d|deviceCustomDate\d|flex\w+\d", key)}
        assert labels == slots, f"line {number}: labels {labels ^ slots} stand alone"
        if "\\" not in "|".join(parts[:7]) and "=" not in "|".join(parts[:7]):
            values = pycef.parse(line)
            assert values, f"line {number}: pycef reads nothing"
            assert [values[name] for name in HEADER] == parts[1:7], f"line {number}: {values}"
            parsed += 1
        # Copybook events: what went in comes out.
        byname = {key: unescape(value) for key, value in pairs}
        event = events.get(byname.get("cs4"))
        if event is not None:
            context = event["context"]
            wanted = {
                "suser": context.get("user"),
                "dvchost": context["environment"]["hostname"],
                "dvcpid": str(context["environment"]["process_id"]),
                "cs2": context["security"]["classification"],
                "cs5": event.get("previous_hash"),
            }
            for key, want in wanted.items():
                assert byname.get(key) == want, f"line {number}: {key} is {byname.get(key)!r}, wanted {want!r}"
            assert parts[1] == "Copybook-rs" and parts[6] == {"Info": "2", "Low": "4", "Medium": "6", "High": "8", "Critical": "10"}[event["severity"]], line
            compared += 1
    assert len(lines) == count, f"{len(lines)} lines, wanted {count}"
    assert compared == len(events), f"{compared} of {len(events)} copybook events were found again"
    print(f"read {len(lines)} lines, {parsed} of them with pycef; {compared} compared with what went in")


main()
