"""Reads syslog messages with an RFC 5424 parser that others wrote and compares them with what went in.

Usage: check_syslog.py FILE EVENTS_FOLDER COUNT
"""

import json
import sys

from syslog_rfc5424_parser import SyslogMessage

SEVERITIES = {"Info": "info", "Low": "notice", "Medium": "warning", "High": "err", "Critical": "crit"}


def main():
    path, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sent = {}
    for line in open(f"{folder}/copybook.ndjson", encoding="utf-8"):
        event = json.loads(line)
        sent[event["event_id"]] = event
    read = compared = 0
    for number, line in enumerate(open(path, encoding="utf-8", newline="\n"), 1):
        line = line.removesuffix("\n")
        try:
            message = SyslogMessage.parse(line)
        except Exception as error:
            raise AssertionError(f"line {number}: {error}: {line[:300]!r}") from error
        read += 1
        assert message.facility.name == "audit", f"line {number}: {message.facility}"
        params = message.sd["audit@32473"]
        original = sent.get(params["id"])
        if original is None:
            continue
        context = original["context"]
        assert message.severity.name == SEVERITIES[original["severity"]], f"line {number}: {message.severity}"
        assert message.hostname == context["environment"]["hostname"], f"line {number}: {message.hostname}"
        assert message.procid == context["environment"]["process_id"], f"line {number}: {message.procid!r}"
        assert params["integrityhash"] == original["integrity_hash"], f"line {number}"
        if context.get("user"):
            assert params["user"] == context["user"], f"line {number}: {params['user']!r}"
        assert json.loads(message.msg) == original, f"line {number}: the payload differs"
        compared += 1
    assert read == count, f"{read} messages, wanted {count}"
    assert compared == len(sent), f"{compared} of {len(sent)} copybook events were found again"
    print(f"read {read} messages; {compared} compared with what went in")


main()
