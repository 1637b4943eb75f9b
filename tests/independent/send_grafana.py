"""A client of others writes annotations to the Grafana at the address given."""

import sys

from grafana_client import GrafanaApi, TokenAuth

grafana = GrafanaApi.from_url("http://" + sys.argv[1], credential=TokenAuth("glsa_annotations_0123456789"))
answer = grafana.annotations.add_annotation(time_from=1767323045123, tags=["audit", "severity:high"], text="Deploy 7 began")
assert answer["message"] == "Annotation added" and answer["id"] > 0, answer
answer = grafana.annotations.add_annotation(time_from=1767323045123, tags=["audit"], text="Deploy 7 ended", dashboard_uid="acme-audit", panel_id=2)
assert answer["id"] > 0, answer
print("sent 2 requests")
