"""New Relic's own telemetry SDK sends logs, events and metrics to the address given."""

import sys

import urllib3
from newrelic_telemetry_sdk import CountMetric, Event, EventClient, GaugeMetric, Log, LogClient, MetricClient

KEY = "0123456789abcdef0123456789abcdef0123NRAL"
host, port = sys.argv[1].split(":")


def client(kind):
    # The receiver of the test speaks plain HTTP.
    plain = type(kind.__name__, (kind,), {"POOL_CLS": urllib3.HTTPConnectionPool})
    return plain(KEY, host=host, port=int(port))


for kind, items in [
    (LogClient, [Log("login", user="ada"), Log("logout")]),
    (EventClient, [Event("Audit", {"user": "ada", "count": 1})]),
    (MetricClient, [CountMetric("audit.events", 3, 1000, tags={"severity": "high"}), GaugeMetric("audit.backlog", 2.5)]),
]:
    common = {"attributes": {"environment": "prod"}} if kind is not EventClient else None
    response = client(kind).send_batch(items, common) if common else client(kind).send_batch(items)
    response.raise_for_status()
print("sent 3 requests")
