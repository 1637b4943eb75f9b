"""Datadog's own client sends a log, an event of each version and a metric to the address given."""

import sys
import time

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v1.api.authentication_api import AuthenticationApi
from datadog_api_client.v1.api.events_api import EventsApi as EventsV1
from datadog_api_client.v1.model.event_create_request import EventCreateRequest
from datadog_api_client.v2.api.events_api import EventsApi as EventsV2
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.api.metrics_api import MetricsApi
from datadog_api_client.v2.model.alert_event_custom_attributes import AlertEventCustomAttributes
from datadog_api_client.v2.model.alert_event_custom_attributes_priority import AlertEventCustomAttributesPriority
from datadog_api_client.v2.model.alert_event_custom_attributes_status import AlertEventCustomAttributesStatus
from datadog_api_client.v2.model.event_category import EventCategory
from datadog_api_client.v2.model.event_create_request import EventCreateRequest as EventV2
from datadog_api_client.v2.model.event_create_request_payload import EventCreateRequestPayload
from datadog_api_client.v2.model.event_create_request_type import EventCreateRequestType
from datadog_api_client.v2.model.event_payload import EventPayload
from datadog_api_client.v2.model.event_payload_integration_id import EventPayloadIntegrationId
from datadog_api_client.v2.model.http_log import HTTPLog
from datadog_api_client.v2.model.http_log_item import HTTPLogItem
from datadog_api_client.v2.model.metric_intake_type import MetricIntakeType
from datadog_api_client.v2.model.metric_payload import MetricPayload
from datadog_api_client.v2.model.metric_point import MetricPoint
from datadog_api_client.v2.model.metric_resource import MetricResource
from datadog_api_client.v2.model.metric_series import MetricSeries

configuration = Configuration(host="http://" + sys.argv[1])
configuration.api_key["apiKeyAuth"] = "0123456789abcdef0123456789abcdef"
# Logs and events of v2 have hosts of their own: the second of their servers is any address.
for operation in ("submit_log", "create_event"):
    configuration.server_operation_index[f"v2.{operation}"] = 1
    configuration.server_operation_variables[f"v2.{operation}"] = {"protocol": "http", "name": sys.argv[1]}

with ApiClient(configuration) as api:
    assert AuthenticationApi(api).validate().valid
    item = HTTPLogItem(ddsource="acme", ddtags="env:prod", hostname="h1", service="audit", message="login", status="info")
    LogsApi(api).submit_log(body=HTTPLog([item]))
    now = int(time.time())
    answer = EventsV1(api).create_event(body=EventCreateRequest(title="login", text="text", tags=["env:prod"], date_happened=now, host="h1"))
    assert answer.status == "ok" and answer.event.id == 1, answer
    alert = AlertEventCustomAttributes(custom={"id": "1"}, priority=AlertEventCustomAttributesPriority.PRIORITY_TWO, status=AlertEventCustomAttributesStatus.WARN)
    payload = EventPayload(
        attributes=alert, category=EventCategory.ALERT, integration_id=EventPayloadIntegrationId.CUSTOM_EVENTS, title="login", message="text", tags=["env:prod"]
    )
    EventsV2(api).create_event(body=EventCreateRequestPayload(data=EventV2(attributes=payload, type=EventCreateRequestType.EVENT)))
    series = MetricSeries(
        metric="audit.events",
        type=MetricIntakeType.COUNT,
        interval=1,
        points=[MetricPoint(timestamp=now, value=3.0)],
        resources=[MetricResource(name="h1", type="host")],
        tags=["env:prod"],
    )
    answer = MetricsApi(api).submit_metrics(body=MetricPayload(series=[series]))
    assert answer.errors == [], answer
print("sent 4 requests")
