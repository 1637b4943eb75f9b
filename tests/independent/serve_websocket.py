"""A WebSocket server of others (`websockets`) that keeps what it is told, a line each, in `heard`.

Arguments: the port, the mode, and for TLS a certificate and its key.
  plain   keeps messages and says nothing
  ack     answers each JSON message with its id, two at a time and backwards; `user` "bad" is refused, "busy" the
          first time asks for patience
  picky   closes with 1009 for messages beyond 2,000 bytes (the library does, before it answers a later ping), and with 1012 (restarts) behind its third message, once
With TLS the handshake must bring `Authorization: Bearer websocket-story-token`.
"""
import http
import json
import ssl
import sys
import threading

from websockets.sync.server import serve

PORT, MODE = int(sys.argv[1]), sys.argv[2]
lock = threading.Lock()
seen = {"count": 0, "busy": set(), "restarted": False}


def keep(message):
    with lock, open("heard", "ab") as heard:
        heard.write((message if isinstance(message, bytes) else message.encode()) + b"\n")


def count():
    with lock:
        seen["count"] += 1
        return seen["count"]


def acknowledge(socket):
    """Answers in pairs, the later one first; a single one after a short silence."""
    waiting = []
    while True:
        try:
            message = socket.recv(timeout=0.05 if waiting else None)
        except TimeoutError:
            message = None
        if message is not None:
            event = json.loads(message)
            key, user = event["key"], event["user"]
            with lock:
                first = key not in seen["busy"]
                seen["busy"].add(key)
            if user == "busy" and first:
                status = "busy"
            elif user == "bad":
                status = "no such user"
            else:
                keep(message)
                status = "ok"
            waiting.append(json.dumps({"re": key, "status": status}))
        if message is None or len(waiting) == 2:
            while waiting:
                socket.send(waiting.pop())


def handle(socket):
    if MODE == "ack":
        acknowledge(socket)
    for message in socket:
        keep(message)
        if MODE == "picky" and count() == 3:
            socket.close(1012, "back in a moment")
            return


def authorize(connection, request):
    if request.headers.get("Authorization") != "Bearer websocket-story-token":
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "who are you?\n")
    return None


context = None
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])

options = {"ssl": context, "process_request": authorize if context else None, "select_subprotocol": lambda _, offered: "v1.events" if "v1.events" in offered else None, "max_size": 2000 if MODE == "picky" else 1 << 22, "ping_interval": 0.2, "ping_timeout": 5}
with serve(handle, "127.0.0.1", PORT, **options) as server:
    server.serve_forever()
