"""Sends batches of events to a service, one event a line.

The operator binds `primary` to the service's URL and credential: neither is known here.
"""

import hashlib

import bulkhead_sdk as sdk


class Service(sdk.Connector):
    # Fields of each event that `deliver` is handed beside its record.
    fields = ("/source", "/id")
    max_events = 500
    max_bytes = 1 << 20

    def __init__(self, config, format_name, content_type):
        if not config["path"].startswith("/"):
            raise sdk.Refused(f"`path` is \"{config['path']}\"; it begins with `/`")
        self.config = config
        json = content_type.split(";")[0].strip() in ("application/json", "application/x-ndjson")
        self.content_type = "application/x-ndjson" if json else content_type

    def deliver(self, batch, attempt):
        # The same on every try, so that the service can tell a batch that it has already.
        digest = hashlib.sha256()
        for _, event in batch:
            for pointer in self.fields:
                digest.update(event.json(pointer) or b"-")
                digest.update(b"\0")
        answer = sdk.request(
            "POST",
            self.config["path"],
            batch.lines(),
            headers={"content-type": self.content_type},
            gzip=self.config["gzip"],
            message_id=digest.hexdigest()[:32],
        )
        return sdk.outcome(answer, len(batch))

    def check(self):
        answer = sdk.request("GET", self.config["path"])
        sdk.outcome(answer, 2)
        return f"the service answered {answer.status}"


# componentize-py looks for this name. The keys are those of config.schema.json.
Delivering = sdk.connector(Service, {"path": "/events", "gzip": False})
