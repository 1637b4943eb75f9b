"""CloudWatch Logs of moto on a free port, behind a check of every request's signature with botocore's own signer;
and botocore as a client that reads back what is there.

Usage: aws_logs.py serve                    prints the port, serves until its standard input ends
       aws_logs.py read URL GROUP STREAM    prints the stream's events as JSON lines, in the order of the service
"""

import json
import re
import sys
import threading

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "eu-central-1"
ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG"


def signature_fits(environ, body):
    pattern = rf"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/\d{{8}}/{REGION}/logs/aws4_request, SignedHeaders=([\w;-]+), Signature=([0-9a-f]{{64}})"
    match = re.fullmatch(pattern, environ.get("HTTP_AUTHORIZATION", ""))
    if not match:
        return False
    names, signature = match[1].split(";"), match[2]
    if not {"content-type", "host", "x-amz-date", "x-amz-target"} <= set(names):
        return False
    again = AWSRequest(environ["REQUEST_METHOD"], f"http://{environ['HTTP_HOST']}{environ['PATH_INFO']}", data=body)
    for name in names:
        key = name.upper().replace("-", "_")
        again.headers[name] = environ[key if name in ("content-type", "content-length") else f"HTTP_{key}"]
    again.context["timestamp"] = environ["HTTP_X_AMZ_DATE"]
    signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "logs", REGION)
    return signature == signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)


def serve():
    import io
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    service = DomainDispatcherApplication(create_backend_app)

    def guarded(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if signature_fits(environ, body):
            return service(environ, start_response)
        # In the shape that the service has.
        answer = json.dumps({"__type": "InvalidSignatureException", "message": "The request signature we calculated does not match"}).encode()
        start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(answer)))])
        return [answer]

    server = make_server("127.0.0.1", 0, guarded, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()


def read(url, group, stream):
    session = botocore.session.get_session()
    client = session.create_client("logs", region_name=REGION, endpoint_url=url, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY)
    token = None
    while True:
        more = {"nextToken": token} if token else {}
        page = client.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **more)
        for event in page["events"]:
            print(json.dumps({"timestamp": event["timestamp"], "message": event["message"]}))
        if not page["events"] or page["nextForwardToken"] == token:
            return
        token = page["nextForwardToken"]


{"serve": serve, "read": read}[sys.argv[1]](*sys.argv[2:])
