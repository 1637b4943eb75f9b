"""A Lumberjack server by others: timbersnake. Writes its port, then each event as a line of JSON."""

import asyncio
import contextlib
import json
import logging
import socket
import sys

from timbersnake import server


class Events(logging.Handler):
    """The library says events in its log only."""

    def emit(self, record):
        if record.msg == "recv JSON: %s":
            # What was logged with a single mapping is its own arguments.
            event = record.args if isinstance(record.args, dict) else record.args[0]
            print(json.dumps(event), flush=True)


# The library calls `json.parse`, which the module does not have, for events outside compressed frames.
server.json.parse = json.loads
server.LOG.setLevel(logging.DEBUG)
server.LOG.propagate = False
server.LOG.addHandler(Events())


async def main():
    with contextlib.redirect_stdout(sys.stderr):
        own = server.Server("127.0.0.1", 0)
    listener = await asyncio.start_server(own.handle_client_callback, sock=socket.create_server(("127.0.0.1", 0)))
    print(listener.sockets[0].getsockname()[1], flush=True)
    async with listener:
        await listener.serve_forever()


asyncio.run(main())
