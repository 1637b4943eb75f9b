"""Writes each event as one line of `key=value`."""

import bulkhead_sdk as sdk


class Line(sdk.Formatter):
    # Fields of each event that `format` is handed.
    fields = ("/time", "/received", "/id", "/type", "/severity")
    name = "{{name}}"
    content_type = "text/plain; charset=utf-8"

    def __init__(self, config):
        if "\n" in config["prefix"] or "\r" in config["prefix"]:
            raise sdk.Refused("`prefix` has a line break; a record is one line")
        self.prefix = config["prefix"].encode()

    def format(self, event):
        time = event.json("/time") or event.json("/received")
        pairs = [(b"time", time)] + [(key, event.json(f"/{key.decode()}")) for key in (b"id", b"type", b"severity")]
        # As JSON, so that a value stays on its line; what JSON keeps apart by line breaks is put on one.
        parts = [key + b"=" + value.replace(b"\n", b" ").replace(b"\r", b" ") + b" " for key, value in pairs if value not in (None, b"null")]
        return self.prefix + b"".join(parts) + b"\n"


# componentize-py looks for this name. The keys are those of config.schema.json.
Formatting = sdk.formatter(Line, {"prefix": ""})
