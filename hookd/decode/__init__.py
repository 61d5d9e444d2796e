"""From the bytes of a request to events: strict JSON, then strict events (spec 2).

Everything refused is an `EventRejected` with every fault at its JSON pointer; nothing a client sends can
raise anything else.

Must never: do I/O, or accept in part. Called by: `api`.
"""

from hookd.decode.events import decode_batch, decode_event, decode_key, decode_send, decode_trigger
from hookd.decode.strictjson import parse_json, parse_ndjson

__all__ = [
    "decode_batch",
    "decode_event",
    "decode_key",
    "decode_send",
    "decode_trigger",
    "parse_json",
    "parse_ndjson",
]
