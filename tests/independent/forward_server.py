"""A forward receiver on the msgpack package: reads every mode, insists on the protocol's rules, acknowledges.

Writes its port, then each entry as a line of JSON. Arguments: how many chunks are taken before one is taken
without an acknowledgement and the connection closed (0: never).
"""

import gzip
import json
import socket
import struct
import sys

import msgpack

RULES = {"strict_map_key": True, "raw": False}


def event_time(code, data):
    assert code == 0 and len(data) == 8, (code, data)
    return struct.unpack(">II", data)


def entries_of(block, options):
    if isinstance(block, list):
        return block
    if options.get("compressed") == "gzip":
        block = gzip.decompress(block)
    assert isinstance(block, bytes), type(block)
    return list(unpacker(block))


def unpacker(block=None):
    own = msgpack.Unpacker(ext_hook=event_time, **RULES)
    if block is not None:
        own.feed(block)
    return own


def serve(connection, state):
    messages = unpacker()
    while data := connection.recv(65536):
        messages.feed(data)
        for tag, block, options in messages:
            entries = entries_of(block, options)
            assert isinstance(tag, str) and options["size"] == len(entries), (tag, options)
            for time, record in entries:
                assert isinstance(record, dict), record
                seconds, nanos = time if isinstance(time, tuple) else (time, None)
                print(json.dumps({"tag": tag, "seconds": seconds, "nanos": nanos, "record": record}), flush=True)
            state["chunks"] += 1
            if state["chunks"] == state["forgets"]:
                return
            connection.sendall(msgpack.packb({"ack": options["chunk"]}))


def main():
    state = {"chunks": 0, "forgets": int(sys.argv[1])}
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                serve(connection, state)
            except ConnectionError:
                pass


main()
