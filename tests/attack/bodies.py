"""JSON texts changed at random, read by the fast reader and by the strict one: what the first accepts, the second does,
with the same value to the last digit, and the keys in the same order.
"""

import random

from hookd.intake.fast_json import UNREAD, read_plain
from hookd.intake.strict_json import NotJson, parse_strictly
from tests.chaos.proof import Findings, Options

SEEDS = (
    b'{"type": "vm", "event": "on", "object": {"id": "42", "tags": ["a", "b"]}, "data": {"at": "12:30", "n": 81}}',
    b'{"a":1,"b":{"a":1,"b":[{"a":1},{"a":1}]},"c":"http://h:80/\\"x\\\\","d":[]}',
    '{"\\u00fc":"ü\\ud83d\\ude00😀","":"","\\n":null,"é":true,"/":"\\/","k:":":"}'.encode(),
    b"[0,-0,-0.0,1e5,1E-5,0.1,1e308,1.7976931348623157e308,5e-324,123456789012345678901234567890,-9223372036854775809]",
    b"[9007199254740993.0,0.30000000000000004,2.2250738585072011e-308,18446744073709551616,1e-400,4.35,1e22,1e23]",
    b' { "type" : "t" , "time" : "2026-01-02T03:04:05+01:00" , "data" : { "x" : [ 1 , 2.50 , false ] } } \r\n',
    b'{"a":"\\u003a","b":"\\u003A","a:":1,"\\u0061":2}',
    b"[" * 60 + b'{"a":' * 39 + b"1" + b"}" * 39 + b"]" * 60,
)
PIECES = (
    b'"a":1,', b',"a":1', b'"\\u0061":1,', b":", b"::", b"\\u003a", b"\\", b'"', b"[", b"]", b"{", b"}", b",", b"e",
    b".", b"-", b"+", b"0", b"9" * 20, b"1e400", b"NaN", b"Infinity", b"null", b"\\ud800", b"\\udc00", b"\xed\xa0\x80",
    b"\xff", b"\xef\xbb\xbf", b"\x00", b"\x7f", b"\t", b"\n", b"\xc2\x85", b'""', b'":"', b'{"":{}}', b"[[]]", b"'",
)  # fmt: skip
MOST_CHANGES = 4
MOST_LISTED = 20


async def prove(options: Options) -> Findings:
    """Change, read twice, compare."""
    found, chance = Findings(), options.chance()
    tried = options.scale(short=50_000, long=1_000_000)
    counts = {"both accept": 0, "left to the strict reader, which accepts": 0, "both refuse": 0}
    for _ in range(tried):
        raw = changed(chance)
        read, judged = read_plain(raw), _judged(raw)
        if read is UNREAD:
            counts["both refuse" if judged is UNREAD else "left to the strict reader, which accepts"] += 1
        elif judged is not UNREAD and repr(read) == repr(judged):
            counts["both accept"] += 1
        elif len(found.violations) < MOST_LISTED:
            found.violations.append(f"{raw!r} is read as {read!r}")
    found.figures["texts"] = {"tried": tried, **counts}
    found.expect(counts["both accept"] > tried / 20, "hardly any text was read fast")
    return found


def changed(chance: random.Random) -> bytes:
    """One of the texts with pieces put in, cut out, doubled and moved."""
    raw = chance.choice(SEEDS)
    for _ in range(chance.randrange(MOST_CHANGES)):
        begin, end = sorted((chance.randrange(len(raw) + 1), chance.randrange(len(raw) + 1)))
        end = min(end, begin + chance.randrange(1, 20))
        match chance.randrange(5):
            case 0:
                raw = raw[:begin] + chance.choice(PIECES) + raw[begin:]
            case 1:
                raw = raw[:begin] + raw[end:]
            case 2:
                raw = raw[:end] + raw[begin:]
            case 3:
                raw = raw[:begin] + chance.choice(PIECES) + raw[end:]
            case _:
                other = chance.choice(SEEDS)
                raw = raw[:begin] + other[begin:end] + raw[begin:]
    return raw


def _judged(raw: bytes) -> object:
    try:
        return parse_strictly(raw)
    except NotJson:
        return UNREAD
