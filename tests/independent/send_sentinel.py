"""Microsoft's own client uploads rows to the address given."""

import sys

from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.monitor.ingestion import LogsIngestionClient


class Bearer(SansIOHTTPPolicy):
    """The client's own policy insists on TLS; the receiver of the test speaks plain HTTP."""

    def on_request(self, request):
        request.http_request.headers["Authorization"] = "Bearer sentinel-token-1"


with LogsIngestionClient("http://" + sys.argv[1], object(), authentication_policy=Bearer()) as client:
    rows = [{"TimeGenerated": "2026-01-02T03:04:05.123Z", "EventId": "1", "Actor": "ada"}, {"EventId": "2"}]
    client.upload(rule_id="dcr-00000000000000000000000000000000", stream_name="Custom-Audit_CL", logs=rows)
print("sent 1 requests")
