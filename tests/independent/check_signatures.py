"""Verifies signed requests as a receiver would: SigV4 with botocore's own signer, the others step by step
as their documents say, with nothing but the standard library."""

import base64
import datetime
import hashlib
import hmac
import json
import re
import sys
import urllib.parse

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCOUNT_KEY = bytes(range(64))


def sigv4(request, headers):
    match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/(\w+)/aws4_request, SignedHeaders=([\w;-]+), Signature=([0-9a-f]{64})", headers["authorization"])
    assert match, headers["authorization"]
    access_key, day, region, service, names, signature = match.groups()
    names = names.split(";")
    assert "host" in names and "x-amz-date" in names and "content-type" in names, names
    assert all(name in names for name in headers if name.startswith("x-amz-")), names
    assert headers["x-amz-date"].startswith(day)
    when = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    assert abs((datetime.datetime.now(datetime.timezone.utc) - when).total_seconds()) < 300, "the clock"
    body = request["body"].encode()
    if "x-amz-content-sha256" in headers:
        assert headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
    else:
        assert service not in ("s3", "aoss")
    credentials = Credentials(access_key, "wJalrXUtnFEMI/K7MDENG", headers.get("x-amz-security-token"))
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(credentials, service, region)
    again = AWSRequest(request["method"], f"http://{headers['host']}{request['target']}", data=body)
    for name in names:
        again.headers[name] = headers[name]
    again.context["timestamp"] = headers["x-amz-date"]
    signer._modify_request_before_signing = lambda request: None
    wanted = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    assert signature == wanted, f"{signature} is not {wanted}\n{signer.canonical_request(again)}"


def sign(key, text):
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


def sas(request, headers):
    kind, token = headers["authorization"].split(" ", 1)
    assert kind == "SharedAccessSignature"
    parts = dict(part.split("=", 1) for part in token.split("&"))
    assert list(parts) == ["sr", "sig", "se", "skn"], parts
    assert urllib.parse.unquote(parts["sr"]) == "https://acme.servicebus.windows.net/alerts" and parts["skn"] == "SendPolicy"
    left = int(parts["se"]) - datetime.datetime.now(datetime.timezone.utc).timestamp()
    assert 0 < left <= 3600, left
    assert urllib.parse.unquote(parts["sig"]) == sign(b"hunter2-sas-key=", parts["sr"] + "\n" + parts["se"])


def storage(request, headers):
    length = headers["content-length"]
    lines = [request["method"], headers.get("content-encoding", ""), headers.get("content-language", ""), "" if length == "0" else length]
    for name in ["content-md5", "content-type", "date", "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"]:
        lines.append(headers.get(name, ""))
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-ms-")]
    assert "x-ms-date" in headers and "x-ms-version" in headers
    path, _, query = request["target"].partition("?")
    resource = "/acme" + path
    for name, values in sorted((name.lower(), values) for name, values in urllib.parse.parse_qs(query, keep_blank_values=True).items()):
        resource += f"\n{name}:{','.join(sorted(values))}"
    assert headers["authorization"] == "SharedKey acme:" + sign(ACCOUNT_KEY, "\n".join(lines + [resource])), lines


def log_analytics(request, headers):
    path = request["target"].partition("?")[0]
    text = f"POST\n{len(request['body'].encode())}\n{headers['content-type']}\nx-ms-date:{headers['x-ms-date']}\n{path}"
    assert headers["authorization"] == "SharedKey 01234567-aaaa:" + sign(ACCOUNT_KEY, text), text


def custom(request, headers):
    text = f"{headers['x-slack-id']}.{headers['x-slack-time']}.{request['body']}"
    assert headers["x-slack-id"] and abs(int(headers["x-slack-time"]) - datetime.datetime.now().timestamp()) < 300
    assert headers["x-slack-signature"] == "v0=" + hmac.new(b"hunter2-hmac", text.encode(), hashlib.sha256).hexdigest()


def custom64(request, headers):
    assert headers["x-sig"] == sign(b"hunter2-hmac", request["body"])
    assert "webhook-id" not in headers and "webhook-timestamp" not in headers


def main():
    given = json.load(open(sys.argv[1], encoding="utf-8"))
    check = globals()[given["scheme"]]
    for request in given["requests"]:
        headers = dict(request["headers"])
        assert len(headers) == len(request["headers"]), "a header twice"
        check(request, headers)
    print(f"verified {len(given['requests'])} requests signed with {given['scheme']}")


main()
