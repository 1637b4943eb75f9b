"""Verifies requests as a receiver does that has the Standard Webhooks library: each line is a request with its headers,
its body and, by name, the secrets that it must verify with, or must not."""

import json
import sys

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

read = 0
for line in open(sys.argv[1], encoding="utf-8"):
    request = json.loads(line)
    body, headers = request["body"], request["headers"]
    for secret in request["verifies"]:
        # Raises where it does not; answers the payload.
        assert Webhook(secret).verify(body, headers) == json.loads(body)
    for secret in request["refuses"]:
        try:
            Webhook(secret).verify(body, headers)
        except WebhookVerificationError:
            continue
        raise AssertionError(f"{request['headers']} verifies with a secret that is no longer")
    try:
        Webhook(request["verifies"][0]).verify(body + " ", headers)
    except WebhookVerificationError:
        read += 1
    else:
        raise AssertionError("a changed body verifies")
print(f"read {read} requests")
