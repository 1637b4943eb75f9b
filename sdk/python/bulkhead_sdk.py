"""Write Bulkhead connectors and formatters in Python.

A guest is a class with two or three methods; `connector(Class)` or `formatter(Class)` in `app.py` exports it. Events
and records arrive as single blocks of bytes with an index of numbers; here they are objects, read when asked for.

Units: waits are in seconds. Errors: raise `Failure` for a call that failed as a whole, `Refused` for a configuration.
The contract behind it is `wit/` of Bulkhead; this file is yours, change it as you like.
"""

import json

from componentize_py_types import Err
from wit_world import exports as _exports
from wit_world.imports import log as _log
from wit_world.imports import types as _types

# Imported only where connector.toml asks for them; the world has no more.
try:
    from wit_world.imports import http as _http
except ImportError:
    _http = None
try:
    from wit_world.imports import state as _state
except ImportError:
    _state = None

_MISSING, _NULL, _BOOL, _NUMBER, _STRING, _ESCAPED, _ARRAY, _OBJECT = range(8)
# Bytes of a receiver's answer that go into a reason.
_REASON = 512


class Refused(Exception):
    """The configuration cannot work; the text goes to the operator."""


class Failure(Exception):
    """A call that failed as a whole: no event of it is delivered as far as we know."""

    def __init__(self, failure):
        super().__init__(str(failure))
        self.failure = failure

    @classmethod
    def configuration(cls, text):
        """People must change the configuration; the events wait."""
        return cls(_types.Failure_Configuration(text))

    @classmethod
    def unauthorized(cls, text):
        """People must change the credential; the events wait."""
        return cls(_types.Failure_Unauthorized(text))

    @classmethod
    def unavailable(cls, text, after=None):
        """Down, busy or unreachable; tried again, after so many seconds where the receiver named a wait."""
        return cls(_types.Failure_Unavailable((text, None if after is None else int(after * 1000))))

    @classmethod
    def too_large(cls, text):
        """The host sends the batch in halves."""
        return cls(_types.Failure_TooLarge(text))

    @classmethod
    def unsupported(cls):
        return cls(_types.Failure_Unsupported())

    @classmethod
    def other(cls, text):
        """Anything else; tried again."""
        return cls(_types.Failure_Other(text))


def accepted(receipt=None):
    """The receiver has the event; its own identifier for it, where it gave one."""
    return _types.Outcome_Accepted(receipt)


def retry(after=None):
    """Tried again, after so many seconds where the receiver named a wait."""
    return _types.Outcome_Retry(None if after is None else int(after * 1000))


def rejected(reason):
    """The receiver will never take it; the reason goes to the dead letters."""
    return _types.Outcome_Rejected(reason)


class Event:
    """One event, through the fields that were asked for."""

    __slots__ = ("_block", "_spans", "_start", "_places")

    def __init__(self, block, spans, start, places):
        self._block, self._spans, self._start, self._places = block, spans, start, places

    def _span(self, pointer):
        at = self._start + 3 * self._places[pointer]
        start, length, kind = self._spans[at : at + 3]
        return self._block[start : start + length], kind

    def get(self, pointer, default=None):
        """The value behind a pointer of `fields`: text, number, bool, list or dict; `default` where missing or null."""
        raw, kind = self._span(pointer)
        if kind == _STRING:
            return raw.decode("utf-8")
        if kind == _ESCAPED:
            return json.loads(b'"' + raw + b'"')
        if kind in (_BOOL, _NUMBER, _ARRAY, _OBJECT):
            return json.loads(raw)
        return default

    def json(self, pointer):
        """The value as JSON bytes, as it was sent; None where missing."""
        raw, kind = self._span(pointer)
        if kind in (_STRING, _ESCAPED):
            return b'"' + raw + b'"'
        return raw if _MISSING < kind <= _OBJECT else None


class Batch:
    """Records with their events."""

    def __init__(self, records, events, places):
        self._block, self._offsets, self._events, self._places = records.block, records.offsets, events, places

    def __len__(self):
        return len(self._offsets) - 1

    def record(self, place):
        return self._block[self._offsets[place] : self._offsets[place + 1]]

    def event(self, place):
        return Event(self._events.block, self._events.spans, place * 3 * len(self._places), self._places)

    def __iter__(self):
        return ((self.record(place), self.event(place)) for place in range(len(self)))

    def lines(self):
        """All records, a line each."""
        return b"".join(self.record(place).rstrip() + b"\n" for place in range(len(self)))


class Response:
    """An answer: `status`, `headers` (names in lower case), `body`, `retry_after` in seconds or None."""

    def __init__(self, answer):
        self.status, self.body, self.truncated = answer.status, answer.body, answer.truncated
        self.headers = {name: value for name, value in answer.headers}
        self.retry_after = None if answer.retry_after is None else answer.retry_after / 1000


def request(method, path, body=b"", headers=None, gzip=False, message_id="", destination="primary"):
    """Sends a request to a destination that the operator named, and waits for the whole answer.

    What goes wrong raises the `Failure` that fits: refused requests wait for a configuration, a receiver that cannot
    be reached is tried again, a body beyond the limit is sent in halves.
    """
    if _http is None:
        raise RuntimeError("connector.toml does not want `http`")
    encoding = _http.BodyEncoding.GZIP if gzip else _http.BodyEncoding.IDENTITY
    fields = [(name, value.encode() if isinstance(value, str) else value) for name, value in (headers or {}).items()]
    try:
        return Response(_http.send(_http.Request(destination, method, path, fields, body, encoding, None, message_id)))
    except Err as error:
        raise _failure(error.value) from None


def _failure(error):
    if isinstance(error, (_http.Error_Denied, _http.Error_Invalid)):
        return Failure.configuration(error.value)
    if isinstance(error, _http.Error_Limit):
        # The host's texts begin with the limit's name.
        return Failure.too_large(error.value) if error.value.startswith("http_request ") else Failure.unavailable(error.value)
    if isinstance(error, _http.Error_Timeout):
        return Failure.unavailable("no answer in time")
    return Failure.unavailable(error.value)


def outcome(response, events):
    """What became of one request with so many events, by the table that all connectors share.

    2xx accepted; 408, 425, 429 and 5xx tried again after Retry-After; 401 and 403 wait for a credential; 3xx, 404 and
    405 for a configuration; 413, and any other 4xx for several events, come again in halves; an event that is refused
    alone is rejected. Sources: RFC 9110 sections 10.2.3 and 15; RFC 8470 section 5.2.
    """
    status = response.status
    if 200 <= status < 300:
        return _types.Delivery_All(accepted())
    if status in (401, 403):
        raise Failure.unauthorized(f"the receiver answered {status}; check the destination's `credential`")
    if 300 <= status < 400 or status in (404, 405):
        raise Failure.configuration(f"the receiver answered {status}; check the destination's `url` and the path in `config`")
    if status in (408, 425, 429) or 500 <= status < 600:
        raise Failure.unavailable(f"the receiver answered {status}", response.retry_after)
    if 400 <= status < 500:
        reason = f"the receiver answered {status}: {response.body[:_REASON].decode('utf-8', 'replace')}"
        if events > 1:
            raise Failure.too_large(f"the batch is sent in halves to find the event at fault: {reason}")
        return _types.Delivery_All(rejected(reason))
    raise Failure.other(f"the receiver answered {status}, which is no final HTTP status")


def all_events(one):
    """The same outcome for every event."""
    return _types.Delivery_All(one)


def each_event(outcomes):
    """One outcome for each event, in their order."""
    return _types.Delivery_Each(list(outcomes))


def log(text, level="info"):
    """A line in the operator's log; no secrets, no events."""
    _log.write(_log.Level[level.upper()], text)


def load(key):
    """Bytes that were kept under a key, or None."""
    return _state.get(key)


def keep(key, value):
    """Keeps bytes under a key, across restarts."""
    _state.set(key, value)


class Connector:
    """Derive from it; `deliver` must be there."""

    fields = ()
    max_events = None
    max_bytes = None

    def __init__(self, config, format_name, content_type):
        """Raise `Refused` where the configuration cannot work. Unknown keys are refused before."""

    def deliver(self, batch, attempt):
        raise NotImplementedError

    def check(self):
        """Whether the receiver can be reached and lets us in; in words."""
        raise Failure.unsupported()


class Formatter:
    """Derive from it; `format` must be there, and total: bytes for any event, or `Refused`."""

    fields = ()
    name = "text"
    content_type = "text/plain; charset=utf-8"

    def __init__(self, config):
        """Raise `Refused` where the configuration cannot work."""

    def format(self, event):
        raise NotImplementedError


def _config(text, defaults):
    """The configuration over its defaults; a key that has none is unknown."""
    given = json.loads(text) if text else {}
    for key in given:
        if key not in defaults:
            raise Refused(f"`{key}` is no key of the configuration; there are {', '.join(sorted(defaults)) or 'none'}")
    return {**defaults, **given}


def connector(cls, defaults=None):
    """What componentize-py exports for a class derived from `Connector`; `defaults` holds every key."""

    class Delivering(_exports.Delivering):
        guest = None

        def configure(self, config, format):
            try:
                Delivering.guest = cls(_config(config, defaults or {}), format.name, format.content_type)
            except Refused as refused:
                raise Err(str(refused)) from None
            # The object's, which may go by the configuration.
            guest = Delivering.guest
            Delivering.places = {pointer: place for place, pointer in enumerate(guest.fields)}
            return _exports.delivering.Configured(list(guest.fields), guest.max_events, guest.max_bytes)

        def check(self):
            return _exports.delivering.Checked(_called(Delivering.guest.check))

        def deliver(self, records, events, attempt):
            return _called(Delivering.guest.deliver, Batch(records, events, Delivering.places), attempt)

        def settle(self, tokens):
            raise Err(_types.Failure_Unsupported())

        def pull(self, cursor):
            raise Err(_types.Failure_Unsupported())

        def query(self, operation, parameters):
            raise Err(_types.Failure_Unsupported())

        def receive(self, request):
            raise Err(_types.Failure_Unsupported())

        def maintain(self):
            raise Err(_types.Failure_Unsupported())

        def close(self):
            pass

    return Delivering


def _called(method, *arguments):
    try:
        return method(*arguments)
    except Failure as failure:
        raise Err(failure.failure) from None


def formatter(cls, defaults=None):
    """What componentize-py exports for a class derived from `Formatter`."""

    class Formatting(_exports.Formatting):
        guest = None

        def configure(self, config):
            try:
                Formatting.guest = cls(_config(config, defaults or {}))
            except Refused as refused:
                raise Err(str(refused)) from None
            # The object's, which may go by the configuration.
            guest = Formatting.guest
            Formatting.places = {pointer: place for place, pointer in enumerate(guest.fields)}
            return _exports.formatting.Configured(list(guest.fields), _types.RecordFormat(guest.name, guest.content_type))

        def format(self, events):
            records, offsets, refused = [], [0], []
            width, end = 3 * len(Formatting.places), 0
            for place in range(events.count):
                try:
                    record = Formatting.guest.format(Event(events.block, events.spans, place * width, Formatting.places))
                except Refused as reason:
                    refused.append(_exports.formatting.Refusal(place, str(reason)))
                    record = b""
                records.append(record)
                end += len(record)
                offsets.append(end)
            return _exports.formatting.Formatted(_types.RecordBatch(b"".join(records), offsets), refused)

    return Formatting
