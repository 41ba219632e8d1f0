"""The table of what no well-meaning client sends: each row the bytes, the answer, and where the bytes went.

In a row, WHO stands for an id that no other row has, and @publish@, @public@, @agent@, @admin@, @scores@ for access
keys.
"""

from __future__ import annotations

import gzip
import itertools
import json
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

WHEN = "2026-03-02T09:15:00Z"
SOURCE = "shop"
HOST = b"Host: touchbook.example.test\r\n"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Row:
    """`status` None: the server hangs up without a word. `code` is of the problem, or of the one item rejected.
    `says` are words of its message. `went`: kept as a touchpoint with `content` as its data, set aside with `content`
    as raw, or nothing kept of it. `answers`: to all the requests in `sent`; the last one is looked at."""

    name: str
    who: str
    sent: tuple[bytes, ...]
    status: int | None
    code: str
    says: tuple[str, ...]
    went: Literal["kept", "aside", "nothing"]
    content: Any
    answers: int

    def bytes(self, keys: dict[str, str]) -> bytes:
        """What is sent, with keys and names in it; LENGTH in a head is that of the body behind it."""
        return b"".join(_complete(part, self.who, keys) for part in self.sent)


ROWS: list[Row] = []


def row(
    name: str,
    sent: bytes | tuple[bytes, ...],
    status: int | None,
    code: str = "",
    *says: str,
    kept: Any = None,
    aside: Any = None,
    answers: int = 1,
    who: str = "",
) -> None:
    """One row. `kept` and `aside` are JSON as text, or a value."""
    who = who or f"row-{next(_numbers):03}"
    content = kept if aside is None else aside
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    ROWS.append(
        Row(
            name,
            who,
            sent if isinstance(sent, tuple) else (sent,),
            status,
            code,
            says,
            "kept" if kept is not None else "aside" if aside is not None else "nothing",
            text and text.replace("WHO", who),
            answers,
        )
    )


def _complete(part: bytes, who: str, keys: dict[str, str]) -> bytes:
    for name, key in keys.items():
        part = part.replace(f"@{name}@".encode(), key.encode())
    head, end, body = part.replace(b"WHO", who.encode()).partition(b"\r\n\r\n")
    return head.replace(b"LENGTH", b"%d" % len(body)) + end + body


def request(line: str | bytes, *headers: str | bytes, body: bytes | str = b"", host: bytes = HOST) -> bytes:
    """A request, byte for byte."""
    lines = b"".join(_bytes(header) + b"\r\n" for header in headers)
    return _bytes(line) + b" HTTP/1.1\r\n" + host + lines + b"\r\n" + _bytes(body)


def get(target: str | bytes, *headers: str | bytes, key: str = "agent") -> bytes:
    return request(b"GET " + _bytes(target), f"Authorization: Bearer @{key}@", *headers)


def post(body: bytes | str, *headers: str | bytes, path: str = "/v1/track", key: str = "publish") -> bytes:
    return request(
        f"POST {path}", f"Authorization: Bearer @{key}@", "Content-Length: LENGTH", *headers, body=body
    )


def batch(body: bytes | str, *headers: str | bytes, key: str = "publish") -> bytes:
    return post(body, *headers, path="/v1/batch", key=key)


def events(body: bytes | str, *headers: str | bytes, key: str = "publish") -> bytes:
    return post(body, *headers, path="/v1/events", key=key)


def chunked(*after_headers: bytes, headers: tuple[str, ...] = ()) -> bytes:
    lines = ("Authorization: Bearer @publish@", "Transfer-Encoding: chunked", *headers)
    return request("POST /v1/track", *lines, body=b"".join(after_headers))


def packed(*members: str | bytes, encoding: str = "gzip", path: str = "/v1/track") -> bytes:
    """A gzip body of these members. WHO in it must have its final name already."""
    return post(
        b"".join(_gzip(_bytes(member)) for member in members),
        f"Content-Encoding: {encoding}",
        path=path,
    )


@cache
def _gzip(content: bytes) -> bytes:
    """Packing takes long, and every process that runs tests reads this table: what comes again is packed once."""
    return gzip.compress(content)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def track(more: str = "", **fields: Any) -> str:
    """A call of Segment's as text; `more` is written into it as it is, fields replace others, None takes one away."""
    call = {
        "type": "track",
        "event": "Wheel Spun",
        "userId": "WHO",
        "messageId": "m-WHO",
        "timestamp": WHEN,
        **fields,
    }
    text = json.dumps({name: value for name, value in call.items() if value is not None}, ensure_ascii=False)
    return text[:-1] + (f", {more}}}" if more else "}")


def event(**attributes: Any) -> str:
    """A CloudEvent as text; an attribute that is None is taken away."""
    made = {
        "specversion": "1.0", "id": "e-WHO", "source": SOURCE, "type": "Wheel spun", "time": WHEN,
        "data": {"identifiers": {"user_id": "WHO"}}, **attributes,
    }  # fmt: skip
    return json.dumps({name: value for name, value in made.items() if value is not None}, ensure_ascii=False)


def binary(body: str, **attributes: str | bytes) -> bytes:
    """A CloudEvent in binary mode; attribute values as they stand in the header."""
    made: dict[str, str | bytes] = {
        "specversion": "1.0", "id": "b-WHO", "source": SOURCE, "type": "Wheel spun", "time": WHEN, **attributes,
    }  # fmt: skip
    headers = [b"ce-" + name.encode() + b": " + _bytes(value) for name, value in made.items() if value != ""]
    return events(body, "Content-Type: application/json", *headers)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# JSON that two programs would read differently

for name, properties, says in [
    ("nesting one deeper than 32", '{"a": ' + nested(31) + "}", "nested at most 32 deep"),
    ("NaN", '{"n": NaN}', "NaN and Infinity are none"),
    ("Infinity in a list of a list", '{"n": [[Infinity]]}', "NaN and Infinity are none"),
    ("minus Infinity", '{"n": -Infinity}', "NaN and Infinity are none"),
    ("1e400, which no float holds", '{"n": 1e400}', "within"),
    ("-1.5E+400", '{"n": -1.5E+400}', "within"),
    ("an integer one beyond 64 bits", '{"n": 9223372036854775808}', "integers within 64 bits"),
    ("a negative integer one beyond 64 bits", '{"n": -9223372036854775809}', "integers within 64 bits"),
    ("an integer of 4,000 digits", '{"n": ' + "7" * 4000 + "}", "integers within 64 bits"),
    ("half of an emoji", '{"s": "\\ud83d"}', "whole characters"),
    ("two halves of emojis the wrong way round", '{"s": "\\ude00\\ud83d"}', "whole characters"),
    ("half of an emoji as a field's name", '{"\\ud83d": 1}', "whole characters"),
]:  # fmt: skip
    sent = track(f'"properties": {properties}')
    row(f"{name} costs its own call", post(sent), 200, "json_invalid", says, aside=sent)
sent = event()[:-1] + ', "extension": NaN}'
row("NaN in a single event costs that event", events(sent), 422, "json_invalid", "NaN", aside=sent)
row(
    "a bare NaN is no call, and set aside as the text it is",
    post("NaN"),
    200,
    "json_invalid",
    "NaN",
    aside="NaN",
)

for name, body, says in [
    ("an integer of 5,000 digits", track('"properties": {"n": ' + "7" * 5000 + "}"), "integers within 64 bits"),
    ("1e-400, which a float makes nothing of", track('"properties": {"n": 1e-400}'), "range of a 64-bit float"),
    ("1e5000", track('"properties": {"n": 1e5000}'), "range of a 64-bit float"),
    ("an exponent of 30 digits", track('"properties": {"n": -1e' + "5" * 30 + "}"), "range of a 64-bit float"),
    ("one field twice", track('"properties": {"a": 1, "a": 2}'), "at most once"),
    ("one field twice with the same value", track('"userId": "WHO"'), "at most once"),
    ("one field twice, once spelled with an escape", track('"properties": {"a": 1, "\\u0061": 2}'), "at most once"),
    ("one field twice, deep down", track('"properties": {"x": [{"y": {"a": 1, "b": 1, "a": 1}}]}'), "at most once"),
    ("a hundred thousand brackets", "[" * 100_000, "deep"),
    ("a hundred thousand objects in each other", '{"a":' * 100_000, "deep"),
    ("nothing at all", "", "line 1, column 1"),
    ("only white space", " \n\t ", "expected JSON"),
    ("half a call", track()[:-1], "expected JSON"),
    ("something after the call", track() + "{}", "expected JSON"),
    ("single quotes", "{'event': 'x'}", "expected JSON"),
    ("a comma at the end", '{"event": "x",}', "expected JSON"),
    ("a comment", '{"event": "x"} // done', "expected JSON"),
    ("a number with a leading zero", '{"event": 01}', "expected JSON"),
    ("a number with a plus", '{"event": +1}', "expected JSON"),
    ("a hexadecimal number", '{"event": 0x10}', "expected JSON"),
    ("a newline inside a text", '{"event": "a\nb"}', "expected JSON"),
    ("NUL inside a text, not escaped", '{"event": "a\0b"}', "expected JSON"),
    ("an escape that JSON does not have", '{"event": "\\x41"}', "expected JSON"),
    ("bytes that are not UTF-8", b'{"event": "\xff"}', "UTF-8"),
    ("a slash spelled too long in UTF-8", b'{"event": "\xc0\xaf"}', "UTF-8"),
    ("half of a surrogate pair in UTF-8", b'{"event": "\xed\xa0\x80"}', "UTF-8"),
    ("Latin-1", '{"event": "Ö"}'.encode("latin-1"), "UTF-8"),
    ("UTF-8 with a byte order mark", b"\xef\xbb\xbf" + track().encode(), "expected JSON"),
    ("UTF-16 with a byte order mark", track().encode("utf-16"), "UTF-8"),
    ("UTF-16 without one", track().encode("utf-16-le"), "expected JSON"),
    ("UTF-32", track().encode("utf-32"), "UTF-8"),
    ("a form", "event=Wheel+Spun&userId=WHO", "expected JSON"),
    ("a web page", "<html><body>hello</body></html>", "expected JSON"),
]:  # fmt: skip
    row(f"{name} is no JSON: the request is refused", post(body), 400, "json_invalid", says)

for name, value, kept in [
    ("nesting of exactly 32", nested(30), None),
    ("the largest and smallest integers of 64 bits", "[9223372036854775807, -9223372036854775808]", None),
    ("an integer that no float holds exactly", "9007199254740993", None),
    ("minus nothing, as a float", "-0.0", None),
    ("minus nothing, as an integer", "-0", "0"),
    ("one as an integer, as a float and as true", "[1, 1.0, true]", None),
    ("the smallest float there is", "5e-324", None),
    ("the largest float there is", "1.7976931348623157e308", None),
    ("nothing, with an absurd exponent", "0e-400", "0.0"),
    ("an emoji as two escaped halves", '"\\ud83d\\ude00"', '"😀"'),
    ("letters composed and decomposed, which stay two", '["\u00e9", "e\u0301", "\ufb01"]', None),
    ("NUL, escaped, in a text nobody takes for an id", '"a\\u0000b"', None),
    ("marks that turn the writing around", '"\u202eelmaxe\u202c\u2066\u2069"', None),
    ("code points that are no characters", '"\ufffe\U0010ffff"', None),
    ("fields named as Python would like to have them", '{"__class__": 1, "__proto__": {"x": 1}, "": 2}', None),
    ("a text like SQL", '"Robert\'); DROP TABLE entries;--"', None),
    ("a text like HTML", '"<script>alert(1)</script>"', None),
    ("formats and templates of other programs", '"%s {0} ${jndi:ldap://x} {{7*7}} %00"', None),
    ("null, the empty list and the empty object", "[null, [], {}]", None),
]:  # fmt: skip
    row(
        f"{name} is kept as it is", post(track(f'"properties": {{"x": {value}}}')), 200,
        kept=f'{{"x": {kept or value}}}',
    )  # fmt: skip

# Not what the route expects

for name, body in [
    ("null", "null"),
    ("true", "true"),
    ("a number", "7"),
    ("a text", '"hello"'),
    ("a list", "[]"),
]:
    row(
        f"{name} instead of a call is set aside",
        post(body),
        200,
        "object_expected",
        "JSON object",
        aside=body,
    )
for name, body, code, says in [
    ("a list instead of a batch", "[]", "batch_expected", '"batch"'),
    ("null instead of a batch", "null", "batch_expected", '"batch"'),
    ("a batch that is an object", '{"batch": {}}', "batch_expected", "list"),
    ("an object without a batch", "{}", "batch_expected", '"batch"'),
]:
    row(f"{name} is refused", batch(body), 400, code, says)
for value in ("8", '"WHO"', '["WHO", null]', "[[]]"):
    row(
        f"{value} in a batch is set aside", batch(f'{{"batch": [{value}]}}'), 200, "object_expected", "JSON object",
        aside=value,
    )  # fmt: skip
row(
    "5,001 items in a batch are refused",
    batch('{"batch": [' + "1," * 5000 + "1]}"),
    413,
    "too_many_items",
    "5000",
)
row("5,001 events are refused", events("[" + "1," * 5000 + "1]"), 413, "too_many_items", "5000")
row(
    "a million items in a batch are refused",
    batch('{"batch": [' + "1," * 10**6 + "1]}"),
    413,
    "too_many_items",
)
row(
    "a batch whose context is too large for each of its items is refused",
    batch(f'{{"context": {{"a": "{"x" * 20_000}"}}, "batch": [{track()}]}}'),
    413, "context_too_large", "context and integrations",
)  # fmt: skip
sent = track()
row(
    "NaN in what a batch gives its items costs each of them", batch(f'{{"context": {{"a": NaN}}, "batch": [{sent}]}}'),
    200, "json_invalid", "NaN", aside=sent,
)  # fmt: skip
row(
    "a batch's context that is none costs each item", batch(f'{{"context": [1], "batch": [{sent}]}}'),
    200, "object_expected", "context: expected a JSON object", aside=sent,
)  # fmt: skip
for body in ("null", "7", '"hello"'):
    row(f"{body} instead of an event is refused", events(body), 400, "event_expected", "JSON object")
for value in ("9", '"WHO!"', '[["WHO"]]', "[[[]]]"):
    row(
        f"{value} among events is set aside",
        events(f"[{value}]"),
        200,
        "object_expected",
        "object",
        aside=value,
    )
STRUCTURED = "Content-Type: application/cloudevents+json"
BATCHED = "Content-Type: application/cloudevents-batch+json"
row(
    "a list that says it is one event is refused",
    events("[]", STRUCTURED),
    400,
    "event_expected",
    "one event",
)
row("one event that says it is a batch is refused", events(event(), BATCHED), 400, "batch_expected", "array")

# Fields of the envelope, as Segment names them

for name, fields, code, *words in [
    ("an unknown call", {"type": "trakc"}, "type_unknown", "type: expected one of track"),
    ("a call of a type that is a number", {"type": 7}, "type_unknown", "type: expected one of"),
    ("a call of a type that is a list", {"type": ["track"]}, "type_unknown", "type: expected one of"),
    ("an event without a name", {"event": None}, "type_invalid", "event: expected a text"),
    ("an event of no letters", {"event": "  "}, "type_invalid", "event: expected a text"),
    ("an event that is a number", {"event": 7}, "type_invalid", "event: expected a text"),
    ("an event that is true", {"event": True}, "type_invalid", "event: expected a text"),
    ("an event of 201 letters", {"event": "x" * 201}, "type_invalid", "event: expected a text of 1 to 200"),
    ("an event with NUL in its name", {"event": "a\0b"}, "type_invalid", "event:", "no control characters"),
    ("an event with a line end in its name", {"event": "a\nb"}, "type_invalid", "event:", "no control characters"),
    ("properties that are a list", {"properties": []}, "object_expected", "properties: expected a JSON object"),
    ("properties that are a text", {"properties": "{}"}, "object_expected", "properties: expected a JSON object"),
    ("a context that is a text", {"context": "web"}, "object_expected", "context: expected a JSON object"),
    ("an id with NUL", {"messageId": "WHO\0"}, "id_invalid", "messageId: expected 1 to 200", "no control"),
    ("an id with a line end", {"messageId": "WHO\r\nX-A: b"}, "id_invalid", "messageId:", "no control"),
    ("an id with an escape sequence", {"messageId": "WHO\x1b[2J"}, "id_invalid", "messageId:", "no control"),
    ("an id with a control character of Latin-1", {"messageId": "WHO\x85"}, "id_invalid", "messageId:", "no control"),
    ("an id of 201 letters", {"messageId": "i" * 201}, "id_too_long", "messageId: expected at most 200"),
    ("an id of 60,000 letters", {"messageId": "i" * 60_000}, "id_too_long", "messageId: expected at most 200"),
    ("an id that is true", {"messageId": True}, "text_expected", "messageId: expected a text"),
    ("an id that is a fraction", {"messageId": 1.5}, "text_expected", "messageId: expected a text"),
    ("an id that is an object", {"messageId": {"a": 1}}, "text_expected", "messageId: expected a text"),
    ("neither id nor time", {"messageId": None, "timestamp": None}, "id_missing", "expected an id, or a timestamp"),
    ("nobody's call", {"userId": None}, "identifier_missing", "userId or anonymousId"),
    ("a user id of no letters", {"userId": ""}, "identifier_missing", "userId or anonymousId"),
    ("a user id of white space", {"userId": " \u200b\ufeff "}, "identifier_invalid", "userId: expected 1 to 200"),
    ("a user id that is a list", {"userId": ["WHO"]}, "text_expected", "userId: expected a text"),
    ("a user id that is true", {"userId": True}, "text_expected", "userId: expected a text"),
    ("a user id that is a fraction", {"userId": 1.0}, "text_expected", "userId: expected a text"),
    ("a user id with NUL", {"userId": "WHO\0"}, "identifier_invalid", "userId: expected no control"),
    ("a user id of 201 letters", {"userId": "u" * 201}, "identifier_invalid", "userId: expected 1 to 200"),
    ("an anonymous id that is an object", {"anonymousId": {}}, "text_expected", "anonymousId: expected a text"),
    ("a device's id that is a list", {"context": {"device": {"id": [1]}}}, "text_expected", "context.device.id:"),
    ("an alias of nothing", {"type": "alias"}, "text_expected", "previousId: expected a text"),
    ("an alias of NUL", {"type": "alias", "previousId": "a\0b"}, "identifier_invalid", "previousId:"),
    ("a group without an id", {"type": "group"}, "text_expected", "groupId: expected a text"),
    ("a group of a list", {"type": "group", "groupId": [1]}, "text_expected", "groupId: expected a text"),
    ("traits that are a list", {"type": "identify", "traits": []}, "object_expected", "traits: expected a JSON"),
    ("an e-mail that is a list", {"type": "identify", "traits": {"email": ["a"]}}, "text_expected", "traits.email:"),
    ("a channel of 51 letters", {"properties": {"channel": "c" * 51}}, "channel_invalid", "channel: expected at most"),
    ("a channel with a line end", {"context": {"channel": "a\nb"}}, "channel_invalid", "channel: expected at most"),
    ("a sending time that is none", {"sentAt": "soon"}, "time_invalid", "sentAt: expected an RFC 3339 time"),
    ("NPS of 11", {"event": "survey_answered", "properties": {"nps": 11}}, "field_invalid", "properties.nps:"),
    ("NPS of true", {"event": "survey_answered", "properties": {"nps": True}}, "field_invalid",
     "properties.nps: input should be a number, not true or false"),
    ("a thread that is a number", {"event": "chat_message_sent", "properties": {"text": "x", "thread": 5}},
     "field_invalid", "properties.thread:"),
    ("an order above all money", {"event": "Order Completed", "properties": {"order_id": "1", "total": 1e14,
     "currency": "EUR"}}, "field_invalid", "properties.total:"),
    ("an item over 64 KiB", {"properties": {"a": "x" * 70_000}}, "item_too_large", "at most 65536 bytes"),
    ("an item over 64 KiB in what is not compared", {"_metadata": "x" * 70_000}, "item_too_large", "at most 65536"),
]:  # fmt: skip
    sent = track(**fields)
    row(f"{name} is set aside", post(sent), 200, code, *words, aside=sent)

# Times

EXPECTED = 'timestamp: expected an RFC 3339 time with a zone, as "2026-01-02T03:04:05.678Z"'
for name, time, code in [
    ("a time without a zone", "2026-03-02T09:15:00", "time_without_zone"),
    ("a day", "2026-03-02", "time_without_zone"),
    ("30 February", "2026-02-30T09:15:00Z", "time_invalid"),
    ("29 February of a year that has none", "2026-02-29T09:15:00Z", "time_invalid"),
    ("a leap second", "2016-12-31T23:59:60Z", "time_invalid"),
    ("hour 24", "2026-03-02T24:00:00Z", "time_invalid"),
    ("month 13", "2026-13-01T00:00:00Z", "time_invalid"),
    ("a zone of 24 hours", "2026-03-02T09:15:00+24:00", "time_invalid"),
    ("a number of milliseconds", 1772442900000, "time_invalid"),
    ("a number of seconds as text", "1772442900", "time_invalid"),
    ("a fraction", 1772442900.5, "time_invalid"),
    ("true", True, "time_invalid"),
    ("an object", {"$date": WHEN}, "time_invalid"),
    ("an empty text", "", "time_invalid"),
    ("60,000 letters", "2" * 60_000, "time_invalid"),
    ("a time in Arabic digits", "٢٠٢٦-٠٣-٠٢T٠٩:١٥:٠٠Z", "time_invalid"),
    ("a time with NUL in it", "2026-03-02T09:15:00\0Z", "time_invalid"),
    ("a time of five-digit years", "12026-03-02T09:15:00Z", "time_invalid"),
    ("HTTP's kind of time", "Mon, 02 Mar 2026 09:15:00 GMT", "time_invalid"),
    ("yesterday, in a word", "yesterday", "time_invalid"),
]:  # fmt: skip
    sent = track(timestamp=time)
    row(f"{name} for a time is set aside", post(sent), 200, code, EXPECTED, aside=sent)
for name, time in [
    ("a moment before 1970", "1969-12-31T23:59:59.999Z"),
    ("1970 in a zone where it is not 1970 yet", "1970-01-01T00:00:00+00:01"),
    ("the year 1", "0001-01-01T00:00:00Z"),
    ("the year 1, earlier than any", "0001-01-01T00:00:00+23:59"),
    ("the end of the year 9999", "9999-12-31T23:59:59.999-23:59"),
    ("the year 2100", "2100-01-01T00:00:00Z"),
]:
    sent = track(timestamp=time)
    row(
        f"{name} is set aside",
        post(sent),
        200,
        "time_out_of_range",
        "timestamp:",
        "1970",
        "24 hours",
        aside=sent,
    )
sent = event(time="2100-01-01T00:00:00Z")
row("an event of the year 2100 is set aside", events(sent), 422, "time_out_of_range", "time:", aside=sent)
row("the first moment of 1970 is kept", post(track(timestamp="1970-01-01T00:00:00Z")), 200, kept="{}")
row(
    "a time in nanoseconds is kept",
    post(track(timestamp="2026-03-02T09:15:00.123456789+05:45")),
    200,
    kept="{}",
)

# CloudEvents

for name, attributes, code, *words in [
    ("an event without specversion", {"specversion": None}, "specversion_unknown", 'specversion: expected "1.0"'),
    ("specversion 0.3", {"specversion": "0.3"}, "specversion_unknown", 'specversion: expected "1.0"'),
    ("specversion as a number", {"specversion": 1.0}, "specversion_unknown", 'specversion: expected "1.0"'),
    ("an event without a source", {"source": None}, "source_mismatch", "source: expected 'shop'"),
    ("an event of another's source", {"source": "bank"}, "source_mismatch", "source: expected 'shop'"),
    ("a source in capitals", {"source": "SHOP"}, "source_mismatch", "source: expected 'shop'"),
    ("a source that is a list", {"source": ["shop"]}, "source_mismatch", "source: expected 'shop'"),
    ("an event without a type", {"type": None}, "type_invalid", "type: expected a text"),
    ("a type that is an object", {"type": {}}, "type_invalid", "type: expected a text"),
    ("an id with NUL", {"id": "a\0b"}, "id_invalid", "id: expected 1 to 200 characters, no control"),
    ("an id that is a list", {"id": ["a"]}, "text_expected", "id: expected a text"),
    ("neither id nor time", {"id": None, "time": None}, "id_missing", "expected an id"),
    ("a time that is a number", {"time": 7}, "time_invalid", "time: expected an RFC 3339"),
    ("a channel that is an object", {"channel": {"a": 1}}, "channel_invalid", "channel: expected at most 50"),
    ("a channel that is a list", {"channel": ["web"]}, "channel_invalid", "channel: expected at most 50"),
    ("data that is a list", {"data": []}, "object_expected", "data: expected a JSON object"),
    ("data that is a text", {"data": "{}"}, "object_expected", "data: expected a JSON object"),
    ("data in base64", {"data_base64": "e30="}, "data_not_json", "data_base64: expected a JSON object in `data`"),
    ("an event about nobody", {"data": {}}, "identifier_missing", "data.identifiers: expected at least one"),
    ("identifiers in a list", {"data": {"identifiers": ["WHO"]}}, "object_expected", "data.identifiers:"),
    ("an identifier that is an object", {"data": {"identifiers": {"user_id": {}}}}, "text_expected", "user_id:"),
    ("an identifier that is true", {"data": {"identifiers": {"user_id": True}}}, "text_expected", "user_id:"),
    ("an identifier in a list of a list", {"data": {"identifiers": {"user_id": [["a"]]}}}, "text_expected", "user_id:"),
    ("an identifier of no type of ours", {"data": {"identifiers": {"passport": "1"}}}, "identifier_invalid",
     "data.identifiers.passport:", "expected one of: user_id"),
    ("an address in place of a type", {"data": {"identifiers": {"ann@example.test": "1"}}}, "identifier_invalid",
     "data.identifiers: is no identifier type"),
    ("an e-mail with two ats", {"data": {"identifiers": {"email": "a@b@example.test"}}}, "identifier_invalid",
     "data.identifiers.email: expected an address"),
    ("a telephone number of letters", {"data": {"identifiers": {"phone": "CALL ME"}}}, "identifier_invalid",
     "data.identifiers.phone:"),
    ("version 0 of a type", {"type": "survey_answered", "dataschema": "urn:touchbook:schema:survey_answered:0",
     "data": {"nps": 9, "identifiers": {"user_id": "WHO"}}}, "version_unknown", "versions 1 to"),
    ("a version of a type not made yet", {"type": "survey_answered", "dataschema": 99,
     "data": {"nps": 9, "identifiers": {"user_id": "WHO"}}}, "version_unknown", "versions 1 to"),
]:  # fmt: skip
    sent = event(**attributes)
    # An attribute may come in a header, as text, so whole numbers are text wherever they come.
    aside = event(**{**attributes, "dataschema": "99"}) if attributes.get("dataschema") == 99 else sent
    if attributes.get("time") == 7:
        aside = event(**{**attributes, "time": "7"})
    row(f"in an event {name} is set aside", events(sent), 422, code, *words, aside=aside)

for value in ("null", "0000", "anonymous", "[object Object]", "00000000-0000-0000-0000-000000000000"):
    row(
        f"an event that calls its device {value} is kept, and links nobody",
        events(event(data={"identifiers": {"user_id": "WHO", "device": value}, "n": 1})), 200, kept='{"n": 1}',
    )  # fmt: skip
row(
    "a field of a sender's that is named as one of ours is kept", events(event(unverified="x", unread_traits=[1])),
    200, kept="{}",
)  # fmt: skip

DATA = '{"identifiers": {"user_id": "WHO"}, "n": 1}'
for name, headers, status, code, says in [
    ("a percent sign with nothing after it", {"id": "100%"}, 400, "header_invalid", "ce-id: expected percent-encoded"),
    ("a percent sign with letters after it", {"id": "%zz"}, 400, "header_invalid", "ce-id: expected percent-encoded"),
    ("escapes that are not UTF-8", {"id": "%ff"}, 400, "header_invalid", "ce-id: expected percent-encoded UTF-8"),
    ("escapes spelled too long", {"id": "%c0%af"}, 400, "header_invalid", "ce-id: expected percent-encoded UTF-8"),
    ("escapes of half an emoji", {"id": "%ed%a0%bd"}, 400, "header_invalid", "ce-id: expected percent-encoded UTF-8"),
    ("Latin-1 that is not escaped", {"id": "ö".encode("latin-1")}, 400, "header_invalid", "ce-id: expected percent"),
    ("a header that calls itself data", {"data": "{}"}, 400, "header_invalid", "ce-data: expected the name"),
]:  # fmt: skip
    row(f"in binary mode {name} is refused", binary(DATA, **headers), status, code, says)
for name, headers, code, says in [
    ("an escaped NUL in an id", {"id": "a%00b"}, "id_invalid", "id: expected 1 to 200"),
    ("an escaped line end in an id", {"id": "a%0d%0aX-A: b"}, "id_invalid", "id: expected 1 to 200"),
    ("an escaped line end in a type", {"type": "a%0ab"}, "type_invalid", "type: expected a text"),
    ("a source escaped twice", {"source": "%2573hop"}, "source_mismatch", "source: expected 'shop'"),
    ("no source", {"source": ""}, "source_mismatch", "source: expected 'shop'"),
    ("specversion 0.3", {"specversion": "0.3"}, "specversion_unknown", 'specversion: expected "1.0"'),
]:
    raw = {
        "specversion": headers.get("specversion", "1.0"),
        "id": {"a%00b": "a\0b", "a%0d%0aX-A: b": "a\r\nX-A: b"}.get(headers.get("id", ""), "b-WHO"),
        "source": {"%2573hop": "%73hop", "": None}.get(headers.get("source", "x"), SOURCE),
        "type": {"a%0ab": "a\nb"}.get(headers.get("type", ""), "Wheel spun"),
        "time": WHEN,
        "data": json.loads(DATA),
    }
    raw = {name: value for name, value in raw.items() if value is not None}
    row(f"in binary mode {name} is set aside", binary(DATA, **headers), 422, code, says, aside=raw)
row("in binary mode a source with each letter escaped is the source", binary(DATA, source="%73%68%6f%70"), 200,
    kept='{"n": 1}')  # fmt: skip
row(
    "in binary mode a quoted value is taken out of its quotes",
    binary(DATA, source='"s\\hop"'),
    200,
    kept='{"n": 1}',
)
row(
    "in binary mode an attribute twice is refused",
    binary(DATA).replace(b"ce-id:", b"ce-type: other\r\nce-id:"), 400, "header_repeated",
        "ce-type: expected at most once",
)  # fmt: skip
sent = event(data=None)
row(
    "an event without data is set aside",
    events(sent),
    422,
    "identifier_missing",
    "data.identifiers:",
    aside=sent,
)

# Public keys, and keys in other places

sent = track()
row("a public key's call without an anonymous id is set aside", post(sent, key="public"), 200, "anonymous_id_missing",
    "anonymousId: expected an anonymous id", aside=sent)  # fmt: skip
row(
    "no key",
    request("POST /v1/track", "Content-Length: LENGTH", body=track()),
    401,
    "key_missing",
    "access key",
)
row("a key in the query is no key", request("POST /v1/events?key=@publish@&access_token=@publish@",
    "Content-Length: LENGTH", body=event()), 401, "key_missing", "Authorization")  # fmt: skip
row(
    "a key in the query of a read is no key",
    request("GET /v1/schemas?key=@agent@"),
    401,
    "key_missing",
    "Authorization",
)
row(
    "a key in a cookie is no key",
    request("GET /v1/schemas", "Cookie: key=@agent@"),
    401,
    "key_missing",
    "Authorization",
)
for name, value in [
    ("another scheme", "Digest @agent@"),
    ("a scheme alone", "Bearer"),
    ("nothing", ""),
    ("a key without a scheme", "@agent@"),
    ("two keys", "Bearer @agent@, Bearer @agent@"),
    ("a key with NUL behind it, escaped", "Bearer @agent@%00"),
    ("Basic without base64", "Basic !!!"),
    ("Basic of letters that no base64 has", "Basic ключ"),
    ("Basic of bytes that are not UTF-8", "Basic " + b64encode(b"\xff\xfe:").decode()),
    ("Basic with the key as the password", "Basic " + b64encode(b":tb_agent_x").decode()),
    ("Basic of nothing", "Basic "),
    ("a key in Cyrillic", "Bearer ключ"),
]:
    row(f"{name} as Authorization is no key", request("GET /v1/schemas", f"Authorization: {value}"), 401, "key_missing",
        "Authorization: Bearer KEY")  # fmt: skip
row("an unknown key in the body of half an emoji is no key",
    request("POST /v1/track", "Content-Length: LENGTH", body='{"writeKey": "\\ud83d", "event": "x"}'),
    401, "key_missing", "access key")  # fmt: skip
row("a key that is a list in the body is no key",
    request("POST /v1/batch", "Content-Length: LENGTH", body='{"writeKey": ["@publish@"], "batch": []}'),
    401, "key_missing", "access key")  # fmt: skip
row("an agent's page with a publisher's key", get("/v1/customers/user_id:42", key="publish"), 403, "role_not_allowed",
    "expected a key of role agent")  # fmt: skip
row("from a public key, of a page that is not its own",
    post(track(anonymousId="WHO"), "Origin: https://elsewhere.example.test", key="public"), 403, "origin_not_allowed",
    "origins")  # fmt: skip

# Bodies that are not as long, or not as packed, as they say

BODY = track().encode()
AUTH = "Authorization: Bearer @publish@"
for name, headers, code in [
    ("a negative Content-Length", ("Content-Length: -1",), "http_invalid"),
    ("a Content-Length with a plus", ("Content-Length: +5",), "http_invalid"),
    ("a hexadecimal Content-Length", ("Content-Length: 0x5",), "http_invalid"),
    ("a Content-Length beyond 64 bits", ("Content-Length: 99999999999999999999",), "http_invalid"),
    ("a Content-Length in Arabic digits", ("Content-Length: ٤٢",), "http_invalid"),
    ("a Content-Length that is a list", ("Content-Length: 5, 5",), "http_invalid"),
    ("an empty Content-Length", ("Content-Length:",), "http_invalid"),
    ("Content-Length twice", ("Content-Length: LENGTH", "Content-Length: LENGTH"), "http_invalid"),
    ("two different Content-Lengths", ("Content-Length: LENGTH", "Content-Length: 5"), "http_invalid"),
    ("Content-Length and chunks", ("Content-Length: LENGTH", "Transfer-Encoding: chunked"), "http_invalid"),
    ("chunks and Content-Length", ("Transfer-Encoding: chunked", "Content-Length: LENGTH"), "http_invalid"),
    ("chunks said twice", ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "http_invalid"),
    ("a misspelled Transfer-Encoding", ("Transfer-Encoding: xchunked",), "transfer_encoding_unknown"),
    (
        "a Transfer-Encoding with a tab before it",
        ("Transfer-Encoding:\tidentity",),
        "transfer_encoding_unknown",
    ),
    (
        "a Transfer-Encoding of gzip and chunks",
        ("Transfer-Encoding: gzip, chunked",),
        "transfer_encoding_unknown",
    ),
    ("a Transfer-Encoding with a blank before the colon", ("Transfer-Encoding : chunked",), "http_invalid"),
]:
    row(f"{name} is refused", request("POST /v1/track", AUTH, *headers, body=BODY), 400, code,
        "transfer-encoding: expected chunked" if code != "http_invalid" else "HTTP/1.1")  # fmt: skip
SMUGGLED = post(track())
row("a request hidden behind a shorter Content-Length is never heard",
    request("POST /v1/track", AUTH, "Content-Length: 4", "Transfer-Encoding: chunked",
        body=b"0\r\n\r\n" + SMUGGLED.replace(b"LENGTH", b"120")),
    400, "http_invalid", "Content-Length")  # fmt: skip
row(
    "a request hidden after garbage is never heard",
    (b"\r\n\r\n\0", SMUGGLED),
    400,
    "http_invalid",
    "HTTP/1.1",
)
row(
    "a request hidden in the body of a read is part of that body",
    request("GET /healthz", "Content-Length: LENGTH", body=b"POST /v1/track HTTP/1.1\r\nHost: x\r\n\r\n"),
    200,
)
row(
    "a body shorter than it says never counts",
    request("POST /v1/track", AUTH, "Content-Length: 9000", body=BODY),
    None,
)
row(
    "a body longer than it says is cut, and what is left is no request",
    request("POST /v1/track", AUTH, "Content-Length: 20", body=BODY),
    400,
    "json_invalid",
    "expected JSON",
)
row(
    "a body that says it is too large is refused before it comes",
    request("POST /v1/track", AUTH, "Content-Length: 4194305"),
    413,
    "body_too_large",
    "4194304 bytes",
)
row(
    "a body that says it is larger than any disk is refused before it comes",
    request("POST /v1/track", AUTH, "Content-Length: 9223372036854775807"),
    413,
    "body_too_large",
    "4194304 bytes",
)
row("a body over the limit is refused", post(track(properties={"a": "x" * 4_200_000})), 413, "body_too_large")
row("chunks over the limit are refused", chunked(*[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 65, b"0\r\n\r\n"), 413,
    "body_too_large", "4194304 bytes")  # fmt: skip

LONG = b"%x" % len(BODY.replace(b"WHO", b"row-000"))
for name, parts in [
    ("a chunk of a size that is no number", (b"zz\r\n", BODY, b"\r\n0\r\n\r\n")),
    ("a chunk of size 0x5", (b"0x5\r\nhello\r\n0\r\n\r\n",)),
    ("a chunk of negative size", (b"-5\r\nhello\r\n0\r\n\r\n",)),
    ("a chunk beyond 64 bits", (b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",)),
    ("a chunk shorter than its bytes", (b"5\r\n", BODY, b"\r\n0\r\n\r\n")),
    ("a chunk without the end of its line", (b"5\nhello\n0\n\n",)),
    ("a chunk with a blank before its size", (b" 5\r\nhello\r\n0\r\n\r\n",)),
]:
    row(f"{name} is refused", chunked(*parts), 400, "http_invalid", "HTTP/1.1")
row("chunks that never end never count", chunked(b'5\r\n{"a":\r\n'), None)
row(
    "a chunk with an extension is a chunk",
    chunked(LONG + b';a=b;c="d"\r\n', BODY, b"\r\n0\r\n\r\n"),
    200,
    kept="{}",
)
row("an extension of megabytes is refused", chunked(b"5;a=" + b"b" * 3_000_000 + b"\r\nhello\r\n0\r\n\r\n"), 431,
    "head_too_large", "32768 bytes")  # fmt: skip
row(
    "headers after the body are no headers",
    chunked(LONG + b"\r\n", BODY, b"\r\n0\r\nContent-Encoding: gzip\r\nAuthorization: Bearer x\r\n\r\n"),
    200,
    kept="{}",
)
row("a key after the body is no key",
    request("POST /v1/events", "Transfer-Encoding: chunked",
            body=b"2\r\n{}\r\n0\r\nAuthorization: Bearer @publish@\r\n\r\n"), 401, "key_missing",
                "access key")  # fmt: skip
row("a trailer of megabytes is refused", chunked(b"2\r\n{}\r\n0\r\nX-A: " + b"b" * 3_000_000 + b"\r\n\r\n"), 431,
    "head_too_large", "32768 bytes")  # fmt: skip

BOMB = b" " * (64 * 2**20)
for encoding in (
    "br",
    "deflate",
    "zstd",
    "compress",
    "gzip, gzip",
    "gzip, identity",
    "gzip;q=1",
    "*",
    "g\u0076ip",
):
    row(f"Content-Encoding {encoding} is refused", post(BODY, f"Content-Encoding: {encoding}"), 415, "encoding_unknown",
        "expected Content-Encoding gzip or identity")  # fmt: skip
row("Content-Encoding twice is refused", post(BODY, "Content-Encoding: gzip", "Content-Encoding: identity"), 400,
    "header_repeated", "content-encoding: expected at most once")  # fmt: skip
row("GZIP in capitals is gzip", packed(track(userId="packed-1", messageId="p-1"), encoding="GZip"), 200,
    kept="{}", who="packed-1")  # fmt: skip
row(
    "concatenated gzip bodies are one body",
    packed(*track(userId="packed-2", messageId="p-2").partition(",")),
    200,
    kept="{}",
    who="packed-2",
)
row("a body that is not packed but says so is refused", post(BODY, "Content-Encoding: gzip"), 400, "gzip_invalid",
    "expected a gzip body")  # fmt: skip
row("a packed body that does not say so is no JSON", post(_gzip(BODY)), 400, "json_invalid", "UTF-8")
row("a packed body packed again is no JSON", packed(_gzip(BODY)), 400, "json_invalid", "UTF-8")
row("a packed body cut short is refused", post(_gzip(BODY)[:-9], "Content-Encoding: gzip"), 400, "gzip_invalid",
    "ends too early")  # fmt: skip
row(
    "an empty packed body is refused",
    post(b"", "Content-Encoding: gzip"),
    400,
    "gzip_invalid",
    "ends too early",
)
row("garbage after a packed body is refused", post(_gzip(BODY) + b"rest", "Content-Encoding: gzip"), 400,
    "gzip_invalid", "expected a gzip body")  # fmt: skip
row(
    "a packed body with a changed bit is refused",
    post(_gzip(BODY)[:-8] + b"\0" * 8, "Content-Encoding: gzip"),
    400,
    "gzip_invalid",
    "expected a gzip body",
)
row("64 MiB packed into 64 KiB is refused", packed(BOMB), 413, "body_too_large", "4194304 bytes, inflated")
row("64 MiB packed twice is no JSON", packed(_gzip(BOMB)), 400, "json_invalid", "UTF-8")
row(
    "64 MiB in many packed bodies is refused",
    packed(*[BOMB[: 2**20]] * 64),
    413,
    "body_too_large",
    "inflated",
)
row(
    "ten thousand empty packed bodies are an empty one",
    packed(*[b""] * 10_000),
    400,
    "json_invalid",
    "expected JSON",
)

for name, media_type in [
    ("a web form", "application/x-www-form-urlencoded"), ("UTF-16", "application/json; charset=utf-16"),
    ("a picture", "image/png"), ("no type at all", "nonsense"), ("several parts", "multipart/form-data; boundary=x"),
]:  # fmt: skip
    row(f"a call that says it is {name} is read as what it is", post(track(), f"Content-Type: {media_type}"), 200,
        kept="{}")  # fmt: skip

# Methods

for method in ("TRACE", "PUT", "PATCH", "DELETE", "PROPFIND", "GET"):
    row(
        f"{method} at a door is refused",
        request(f"{method} /v1/track"),
        405,
        "method_not_allowed",
        "Allow header",
    )
row("HEAD at a door is refused", request("HEAD /v1/track"), 405)
row("a method that there is not is refused", request("FROB /v1/track"), 400, "http_invalid", "method")
row("a method in small letters is refused", request("post /v1/track"), 400, "http_invalid", "method")
for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
    row(f"{header} overrides nothing", get("/v1/keys", f"{header}: POST", key="admin"), 200)
row("a method in the query overrides nothing", get("/v1/keys?_method=DELETE", key="admin"), 200)
row("a tunnel is refused", request("CONNECT example.test:443"), 400, "path_invalid", "begins with /")

# Paths

for target in (
    "//v1/schemas", "/v1//schemas", "/v1/./schemas", "/./v1/schemas", "/v1/x/../schemas", "/v1/%2e%2e/v1/schemas",
    "/v1/schemas/", "/v1%2Fschemas", "/V1/schemas", "/v1/schemas;a=b", "/v1/schemas%3Fx", "/v1/schemas%00",
    "/v1/schemas%20",
    "/v1\\schemas", "/docs/..%2f..%2fetc%2fpasswd", "/docs/%2e%2e/app.py", "/docs/....//app.py", "*",
    "//elsewhere.example.test/v1/schemas",
):  # fmt: skip
    row(f"{target} is no route", get(target, key="admin"), 404, "route_unknown", "/openapi.json")
for target in ("/%", "/v1/schemas%", "/v1/%zz", "/v1/customers/%ff", "/v1/customers/user_id:%c0%af",
               "/v1/customers/user_id:%ed%a0%80", "/v1/customers/user_id:%u0041"):  # fmt: skip
    row(f"{target} cannot be decoded", get(target), 400, "path_invalid", "percent-encoded UTF-8")
row("a target with a fragment is refused: half of an id would be somebody else's",
    get("/v1/customers/user_id:a#b"), 400, "path_invalid", "without #")  # fmt: skip
row(
    "letters that are not escaped are refused",
    get("/v1/customers/user_id:ключ"),
    400,
    "http_invalid",
    "HTTP/1.1",
)
row("a blank in a target is refused", get("/v1/customers/user_id:a b"), 400, "http_invalid", "HTTP/1.1")
row("a target without a slash is refused", get("v1/schemas"), 400, "http_invalid", "HTTP/1.1")
row("a target of 100,000 letters is refused", get("/" + "a" * 100_000), 431, "head_too_large", "32768 bytes")
row("another host in the target is not asked", get("http://elsewhere.example.test/healthz"), 200)
row(
    "a host alone as the target is refused",
    get("http://elsewhere.example.test"),
    400,
    "path_invalid",
    "begins with /",
)
for ref, code in [
    ("user_id:", "reference_invalid"), (":", "reference_invalid"), ("", "route_unknown"), ("%00", "reference_invalid"),
    ("user_id:%00", "reference_invalid"), ("user_id:a%0Ab", "reference_invalid"), ("user_id:%20", "reference_invalid"),
    ("email:ann%40example.test", "reference_invalid"), ("phone:%2B49", "reference_invalid"),
    ("EMAIL:ann%40example.test", "reference_invalid"), ("passport:1", "reference_invalid"),
    ("user_id:" + "a" * 201, "reference_invalid"), ("f" * 32, "customer_unknown"), ("F" * 32, "reference_invalid"),
    ("user_id:nobody%2Ftimeline", "customer_unknown"), ("user_id:nobody%252Ftimeline", "customer_unknown"),
    ("user_id:..%2F..%2Fkeys", "customer_unknown"), ("user_id:nobody;v=1", "customer_unknown"),
]:  # fmt: skip
    status = 404 if code in ("customer_unknown", "route_unknown") else 400
    row(f"{ref[:30] or 'nothing'} as a customer is {code}", get(f"/v1/customers/{ref}"), status, code)
for method, target, code in [
    ("DELETE", "/v1/keys/%00", "access_key_unknown"), ("DELETE", "/v1/keys/a%2Fb", "access_key_unknown"),
    ("POST", "/v1/set-aside/%00:redrive", "set_aside_unknown"), ("POST", "/v1/set-aside/a%2Fb:redrive",
    "set_aside_unknown"),
    ("GET", "/v1/schemas/%00", "type_unknown"), ("GET", "/v1/schemas/..%2Fkeys", "type_unknown"),
]:  # fmt: skip
    sent_ = request(f"{method} {target}", "Authorization: Bearer @admin@", "Content-Length: 0")
    row(f"{method} {target} is {code}", sent_, 404, code)

# Headers

LF = request("GET /healthz")
for name, sent_ in [
    ("a header folded over two lines", request("GET /healthz", "X-A: b\r\n c")),
    ("a key folded over two lines", request("GET /v1/schemas", "Authorization: Bearer\r\n @agent@")),
    ("NUL in a header", request("GET /healthz", "X-A: b\0c")),
    ("NUL in a header's name", request("GET /healthz", "X\0A: b")),
    ("a bare carriage return in a header", request("GET /healthz", "X-A: b\rc")),
    ("a header without a colon", request("GET /healthz", "X-A")),
    ("a header without a name", request("GET /healthz", ": b")),
    ("a blank in a header's name", request("GET /healthz", "X A: b")),
    ("a blank before the colon", request("GET /healthz", "X-A : b")),
    ("Cyrillic in a header's name", request("GET /healthz", "Ключ: b")),
    ("lines that end in line feeds alone", LF.replace(b"\r\n", b"\n")),
    ("the first bytes of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 20),
    ("HTTP/3.0", LF.replace(b"HTTP/1.1", b"HTTP/3.0")),
    ("HTTP/2.0 in lines", LF.replace(b"HTTP/1.1", b"HTTP/2.0")),
    ("HTTP/0.9 by name", LF.replace(b"HTTP/1.1", b"HTTP/0.9")),
    ("a request line without a version", b"GET /healthz\r\n\r\n"),
    ("a version that is none", LF.replace(b"HTTP/1.1", b"HTTP/x.y")),
    ("another protocol's version", LF.replace(b"HTTP/1.1", b"ICY/1.1")),
    ("only bytes of nothing", b"\0" * 200),
    ("mail", b"EHLO example.test\r\nMAIL FROM:<a@example.test>\r\n"),
    ("a Redis command", b"*1\r\n$4\r\nPING\r\n"),
]:  # fmt: skip
    row(f"{name} is no request", sent_, 400, "http_invalid", "expected an HTTP/1.1 request")
row("no Host is refused", request("GET /healthz", host=b""), 400, "host_missing", "host: expected once")
row(
    "two Hosts are refused",
    request("GET /healthz", "Host: b"),
    400,
    "header_repeated",
    "host: expected at most once",
)
row("two keys are refused, whichever of them is right", get("/v1/schemas", "Authorization: Bearer wrong"), 400,
    "header_repeated", "authorization: expected at most once")  # fmt: skip
row("two types of content are refused", events(event(), STRUCTURED, BATCHED), 400, "header_repeated",
    "content-type: expected at most once")  # fmt: skip
row("two origins are refused", post(track(), "Origin: https://a.example.test", "Origin: null"), 400, "header_repeated",
    "origin: expected at most once")  # fmt: skip
row(
    "a header of megabytes is refused",
    get("/healthz", "X-A: " + "b" * 3_000_000),
    431,
    "head_too_large",
    "32768 bytes",
)
row(
    "a header of 40,000 bytes is refused",
    get("/healthz", "X-A: " + "b" * 40_000),
    431,
    "head_too_large",
    "32768 bytes",
)
row(
    "ten thousand headers are refused",
    get("/healthz", *[f"X-{n}: b" for n in range(10_000)]),
    431,
    "head_too_large",
)
row("headers of 30,000 bytes are read", get("/healthz", "X-A: " + "b" * 30_000), 200)
row("half a request never counts", b"GET /healthz HT", None)
row("a request of HTTP/0.9 is not answered", b"GET /healthz\r\n", None)
row("HTTP/1.0 is answered", LF.replace(b"HTTP/1.1", b"HTTP/1.0"), 200)
row("HTTP/1.0 has no chunks", chunked(b"2\r\n{}\r\n0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"), 400,
    "transfer_encoding_unknown", "transfer-encoding: expected chunked alone")  # fmt: skip
row("an expectation that nobody has is ignored", post(track(), "Expect: 42"), 200, kept="{}")
row("100-continue is answered", post(track(), "Expect: 100-continue"), 200, kept="{}")
UPGRADE = (
    "Connection: Upgrade, HTTP2-Settings",
    "Upgrade: h2c",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
)
row(
    "a call that offers HTTP/2, as Java's client does, is taken as it is",
    post(track(), *UPGRADE),
    200,
    kept="{}",
)
row(
    "a chunked call that offers HTTP/2 is taken as it is",
    chunked(LONG + b"\r\n", BODY, b"\r\n0\r\n\r\n", headers=UPGRADE),
    200,
    kept="{}",
)
row(
    "after an offer of HTTP/2 the connection goes on",
    (get("/healthz", *UPGRADE), post(track())),
    200,
    kept="{}",
    answers=2,
)
row("a web socket is not opened", get("/healthz", "Connection: Upgrade", "Upgrade: websocket",
    "Sec-WebSocket-Key: eA=="),
    200)  # fmt: skip
row("two calls at once are answered one after the other", (post(track(userId="other", messageId="x-WHO")),
    post(track())),
    200, kept="{}", answers=2)  # fmt: skip
row("garbage behind a call does not undo it", (post(track()), b"\0\0\0"), 200, kept="{}")

# What readers ask

KNOWN = "/v1/customers/user_id:known"
TOKEN = urlsafe_b64encode(b"[" * 9000).decode()
for target, code, says in [
    ("/timeline?limit=0", "parameter_invalid", "query limit"),
    ("/timeline?limit=501", "parameter_invalid", "query limit"),
    ("/timeline?limit=-1", "parameter_invalid", "query limit"),
    ("/timeline?limit=1e2", "parameter_invalid", "query limit"),
    ("/timeline?limit=ten", "parameter_invalid", "query limit"),
    ("/timeline?limit=%00", "parameter_invalid", "query limit"),
    ("/timeline?limit=" + "9" * 5000, "parameter_invalid", "query limit"),
    ("/timeline?cursor=x", "cursor_invalid", "cursor: expected a value that an earlier answer gave"),
    ("/timeline?cursor=%00", "cursor_invalid", "cursor: expected"),
    ("/timeline?cursor=%ff", "cursor_invalid", "cursor: expected"),
    ("/timeline?cursor=bnVsbA", "cursor_invalid", "cursor: expected"),
    ("/timeline?cursor=WzFlNDAwLCJhIl0", "cursor_invalid", "cursor: expected"),
    ("/timeline?cursor=" + "a" * 501, "parameter_invalid", "query cursor"),
    ("/timeline?from=2026-02-30", "parameter_invalid", "query from: expected a UTC day"),
    ("/timeline?from=2026-03-02T09:15:00", "parameter_invalid", "query from: expected a UTC day"),
    ("/timeline?to=now", "parameter_invalid", "query to: expected a UTC day"),
    ("/timeline?to=1772442900", "parameter_invalid", "query to: expected a UTC day"),
    ("/timeline?direction=up", "parameter_invalid", "query direction"),
    ("/timeline?audience=public", "parameter_invalid", "query audience"),
    ("/timeline?text=" + "a" * 201, "parameter_invalid", "query text"),
    ("/timeline?min_position=7", "parameter_invalid", "query min_position: expected positions"),
    ("/timeline?min_position=j1.-1", "parameter_invalid", "query min_position: expected positions"),
    ("/timeline?min_position=j1." + "9" * 30, "parameter_invalid", "query min_position: expected positions"),
    ("/timeline?min_position=j1.%C2%B2", "parameter_invalid", "query min_position: expected positions"),
    ("/timeline/stream?after=x", "after_invalid", "after: expected"),
    (f"/timeline/stream?after={TOKEN}", "after_invalid", "after: expected"),
    ("/timeline/stream?after=Wy0xLCJhIl0", "after_invalid", "after: expected"),
    ("/scores?at=", "parameter_invalid", "query at: expected a UTC day"),
    ("/scores?at=0000-00-00", "parameter_invalid", "query at: expected a UTC day"),
    ("/scores?at=2026-02-29", "parameter_invalid", "query at: expected a UTC day"),
    ("/scores?at=10000-01-01", "parameter_invalid", "query at: expected a UTC day"),
    ("/buying?at=today", "parameter_invalid", "query at: expected a UTC day"),
    ("/interests?at=%00", "parameter_invalid", "query at: expected a UTC day"),
    ("/scores/loyalty/explain?at=x", "parameter_invalid", "query at: expected a UTC day"),
    ("/scores/loyalty/explain?without=", "touchpoint_unknown", "no touchpoint with that key"),
    ("/scores/loyalty/explain?without=%00", "touchpoint_unknown", "no touchpoint with that key"),
    ("/scores/loyalty/explain?without=' OR 1=1".replace(" ", "%20"), "touchpoint_unknown", "no touchpoint"),
    ("/scores/loyalty/explain?with=", "signal_unknown", "with: expected a signal"),
    ("/scores/loyalty/explain?with=nothing", "signal_unknown", "with: expected a signal"),
    ("/scores/loyalty/explain?with=purchase:x", "signal_unknown", "with: expected a signal"),
    ("/scores/loyalty/explain?with=purchase:%C2%B2", "signal_unknown", "with: expected a signal"),
    ("/scores/loyalty/explain?with=purchase:" + "9" * 50, "signal_unknown", "with: expected a signal"),
    ("/scores/nothing/explain", "scorecard_unknown", "no scorecard"),
    ("/scores/%00/explain", "scorecard_unknown", "no scorecard"),
    ("/scores/loyalty%2Fexplain/explain", "scorecard_unknown", "no scorecard"),
    ("/context?purpose=spam", "parameter_invalid", "query purpose"),
]:  # fmt: skip
    status = (
        404
        if "_unknown" in code and code != "signal_unknown"
        else 422
        if code == "parameter_invalid"
        else 400
    )
    row(f"reading {target[:48]} is {code}", get(KNOWN + target), status, code, says)
row(
    "a Last-Event-ID that is none of ours",
    get(f"{KNOWN}/timeline/stream", "Last-Event-ID: 7"),
    400,
    "after_invalid",
)
row("two Last-Event-IDs", get(f"{KNOWN}/timeline/stream", "Last-Event-ID: 7", "Last-Event-ID: 8"), 400,
    "header_repeated",
    "last-event-id: expected at most once")  # fmt: skip
row("a Last-Event-ID of thousands of brackets", get(f"{KNOWN}/timeline/stream", f"Last-Event-ID: {TOKEN}"), 400,
    "after_invalid")  # fmt: skip
for target in ("/scores?at=0001-01-01", "/scores?at=9999-12-31", "/buying?at=0001-01-01", "/buying?at=9999-12-31",
               "/interests?at=0001-01-01", "/interests?at=9999-12-31", "/scores/loyalty/explain?at=0001-01-01",
               "/scores/loyalty/explain?at=9999-12-31", "/timeline?from=0001-01-01&to=9999-12-31",
               "/timeline?from=9999-12-31&to=0001-01-01", "/timeline?text=%00", "/timeline?text=%ff",
               "/timeline?channel=%00",
               "/timeline?text=%25_", "/timeline?thread='%3B--", "?unknown=1&unknown=2", "?%ff=%00",
               "/scores/loyalty/explain?with=purchase:-999999999999"):  # fmt: skip
    row(f"reading {target} is answered", get(KNOWN + target), 200)
for header in (
    "Prefer: wait=-1",
    "Prefer: wait=99999999999999999999",
    "Prefer: wait=1;;;,,,=",
    "Prefer: wait=²",
    'If-None-Match: "',
    "If-None-Match: W/",
    "If-None-Match: " + '"a",' * 2000,
    "Accept-Language: en;q=nan,ru;q=-1,*;q=1e999",
    "Accept-Language: " + "," * 5000,
    "Accept: nothing/at-all",
    "Accept-Encoding: gzip;q=x, br",
    "Range: bytes=0-0",
    "X-Forwarded-For: 127.0.0.1",
    "X-Retry-Count: -7",
):
    row(f"reading with {header[:40]} is answered", get(KNOWN + "?min_position=j1.1", header), 200)
row("If-None-Match of everything has everything", get(KNOWN, "If-None-Match: *"), 304)
for body, status, code, says in [
    ("", 400, "json_invalid", "expected JSON"), ("NaN", 400, "json_invalid", "NaN"), ("[]", 422,
    "parameter_invalid", "body"),
    ("null", 422, "parameter_invalid", "body"), ("{}", 422, "parameter_invalid", "body type"),
    ('{"type": 7, "value": "a"}', 422, "parameter_invalid", "body type"),
    ('{"type": "user_id", "value": 7}', 422, "parameter_invalid", "body value"),
    ('{"type": "user_id", "value": ""}', 422, "", "value"),
    ('{"type": "user_id", "value": "a\\u0000b"}', 422, "identifier_invalid", "user_id: expected no control characters"),
    ('{"type": "email", "value": "ann"}', 422, "identifier_invalid", "email: expected an address"),
    ('{"type": "ann@example.test", "value": "x"}', 422, "identifier_invalid", "is no identifier type"),
    ('{"type": "user_id", "value": "' + "a" * 100_000 + '"}', 422, "parameter_invalid", "body value"),
    ('{"type": "user_id", "value": "nobody"}', 404, "customer_unknown", "no touchpoint was ever recorded"),
]:  # fmt: skip
    sent_ = post(body, path="/v1/customers:lookup", key="agent")
    row(f"looking up {body[:40] or 'nothing'} is {code or 'refused'}", sent_, status, code, says)
for body, status, code, says in [
    ("[]", 422, "parameter_invalid", "body"), ('{"customers": "user_id:a"}', 422, "parameter_invalid", "customers"),
    ('{"customers": [7]}', 422, "parameter_invalid", "customers.0"),
    ('{"customers": [""]}', 422, "parameter_invalid", "customers.0"),
    ('{"customers": [{"ref": "user_id:a", "at": "x"}]}', 422, "parameter_invalid", "customers.0"),
    ('{"customers": ["user_id:a"], "at": 7}', 422, "parameter_invalid", "body at"),
    ('{"customers": ["user_id:a"], "at": "2026-02-30"}', 422, "parameter_invalid", "at: expected a UTC day"),
    ('{"customers": ["user_id:a"], "scores": "loyalty"}', 422, "parameter_invalid", "scores"),
    ('{"customers": ["user_id:known"], "scores": ["nothing"]}', 404, "scorecard_unknown", "no scorecard"),
    ('{"customers": [' + '"a",' * 1000 + '"a"]}', 422, "parameter_invalid", "customers"),
    ('{"customers": [], "more": 1}', 422, "parameter_invalid", "more"),
    ('{"customers": [], "customers": []}', 400, "json_invalid", "at most once"),
    (" " * (2**20 + 1), 413, "body_too_large", "1048576 bytes"),
]:  # fmt: skip
    sent_ = post(body, path="/v1/scores:batchGet", key="scores")
    row(f"scores of {body[:45].strip() or 'a megabyte of nothing'} are refused", sent_, status, code, says)
row(
    "scores of what are no references are of nobody",
    post(
        '{"customers": ["\\u0000", "user_id:\\u0000", "email:ann", ":", "F"]}',
        path="/v1/scores:batchGet",
        key="scores",
    ),
    200,
)
for body, status, code, says in [
    ('{"role": "root", "source": "a"}', 422, "parameter_invalid", "body role"),
    ('{"role": "admin", "source": "a\\nb"}', 400, "source_invalid", "source: expected a name"),
    ('{"role": "admin", "source": "../a"}', 400, "source_invalid", "source: expected a name"),
    ('{"role": "publish", "source": "a", "channel": "\\u0000"}', 400, "channel_invalid", "channel: expected a name"),
    ('{"role": "publish", "source": "a", "channel": "w", "origins": ["javascript:x"]}', 400, "origins_invalid",
    "origins"),
    ('{"role": "publish", "source": "a", "channel": "w", "origins": ["*"]}', 400, "origins_invalid", "origins"),
    ('{"role": "publish", "source": "shop", "channel": "w", "origins": ["https://a.example.test"]}', 400,
    "source_taken",
     "source: expected one of its own"),
]:  # fmt: skip
    row(f"a key as {body[20:90]} is not made", post(body, path="/v1/keys", key="admin"), status, code, says)
for target in ("cursor=x", "cursor=-1", "cursor=%C2%B2", "cursor=" + "9" * 99):
    row(f"what was set aside after {target[:20]} is refused", get(f"/v1/set-aside?{target}", key="admin"), 400,
        "cursor_invalid", "cursor: expected")  # fmt: skip
row(
    "what was set aside, of a public key",
    get("/v1/set-aside", key="public"),
    403,
    "key_public",
    "server-side key",
)
