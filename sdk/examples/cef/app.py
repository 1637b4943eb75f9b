"""A CEF-like line for each event."""

import bulkhead_sdk as sdk

SEVERITIES = {"low": 3, "medium": 5, "high": 7, "critical": 10}
KEYS = ("type", "severity", "id", "time")
HEADER = str.maketrans({"\\": "\\\\", "|": "\\|", "\r": " ", "\n": " "})
EXTENSION = str.maketrans({"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"})


class Cef(sdk.Formatter):
    name = "{{name}}"

    def __init__(self, config):
        self.whole = config["whole"]
        self.fields = ("/original",) if self.whole else tuple(f"/{key}" for key in KEYS)

    def format(self, event):
        if self.whole:
            seen = event.get("/original")
            values = [seen.get(key) for key in KEYS] if isinstance(seen, dict) else [None] * len(KEYS)
        else:
            values = [event.get(pointer) for pointer in self.fields]
        kind, severity, key, time = (value if isinstance(value, str) else "" for value in values)
        kind = kind.translate(HEADER)
        line = f"CEF:0|Example|audit|1|{kind}|{kind}|{SEVERITIES.get(severity, 0)}|externalId={key.translate(EXTENSION)} rt={time.translate(EXTENSION)}\n"
        return line.encode("utf-8", "replace")


# componentize-py looks for this name.
Formatting = sdk.formatter(Cef, {"whole": False})
