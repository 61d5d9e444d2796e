"""From the bytes of a request to events: strict JSON, read fast where that is safe, then strict events (spec 2).

Everything refused is an `EventRejected` with every fault at its JSON pointer; nothing a client sends can
raise anything else.

Must never: do I/O, or accept in part.
"""

from hookd.intake.cloudevents import (
    HEADER_PREFIX,
    decode_binary,
    decode_cloudevent,
    decode_cloudevents,
    is_json,
    media_type,
)
from hookd.intake.event_format import (
    Types,
    decode_batch,
    decode_event,
    decode_key,
    decode_send,
    decode_trigger,
)
from hookd.intake.fast_json import parse_json, parse_ndjson
from hookd.intake.strict_json import NotJson

__all__ = [
    "HEADER_PREFIX",
    "NotJson",
    "Types",
    "decode_batch",
    "decode_binary",
    "decode_cloudevent",
    "decode_cloudevents",
    "decode_event",
    "decode_key",
    "decode_send",
    "decode_trigger",
    "is_json",
    "media_type",
    "parse_json",
    "parse_ndjson",
]
