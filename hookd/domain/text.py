"""Foreign text made fit for a terminal, a log line or a message, and what a misspelt word was probably meant to be.

What users and receivers put into a name, key, variable or answer ends up in logs and on terminals through these
functions, and must not forge a line or drive a terminal there (spec 12). What is printable is Unicode's judgement
(`str.isprintable`): controls, ESC, line ends and bidi overrides are not.

Must never: import anything of hookd, or more than the start of `hookd emit` can bear.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence

MOST_COMPARED = 300
"""Choices that a word is compared with: a comparison takes some 20 µs."""
JOINED_ERRNO = re.compile(r"\[Errno (\d+)\]")
"""The numbers of several errors that became one text."""

LONGEST_GUESS = 128
"""Characters; a longer word is no misspelt one, and comparing it takes time in proportion to its square."""


def python_escape(char: str) -> str:
    r"""A character as in Python: `\n`, `\x1b`, `\u202e`."""
    return repr(char)[1:-1]


def json_escape(char: str) -> str:
    r"""A character as in JSON and YAML: `\u000a`, and `\U000e0001` as in YAML beyond 16 bits."""
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def printable(text: str, escape: Callable[[str], str] = python_escape) -> str:
    """Text on one line, with everything unprintable escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else escape(char) for char in text)


def shown(text: str, limit: int = 60) -> str:
    """The beginning of a text, of `limit` characters before any is escaped, with an ellipsis where more follows."""
    return printable(text if len(text) <= limit else text[:limit] + "…")


def quoted(text: str, limit: int = 60) -> str:
    """The beginning of a text in double quotes, escaped as in JSON."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    return printable(json.dumps(cut, ensure_ascii=False), json_escape)


def counted(number: int, one: str, many: str = "") -> str:
    """`1 event`, `2 events`; `2 deliveries` where the plural is given."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(words: Sequence[str], most: int = 20) -> str:
    """`a, b, c and 2 more`."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def error_text(error: Exception) -> str:
    """What the system says of an error, never what Python makes of it.

    asyncio and ssl put words of their own into `strerror`; of several addresses that failed differently, the numbers
    survive in a joined text alone.
    """
    if refused := getattr(error, "verify_message", ""):
        return f"its certificate was refused: {refused}"
    if any(kind.__name__ == "SSLError" for kind in type(error).__mro__):  # its numbers are not the system's
        return tls_words(getattr(error, "reason", None))
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0:  # those of a name's lookup are negative and not the system's
        return os.strerror(number)
    if numbers := dict.fromkeys(map(int, JOINED_ERRNO.findall(str(error)))):
        return "; ".join(map(os.strerror, numbers))
    if str(error) == "AF_UNIX path too long":
        return "the path of a Unix socket has at most 107 bytes"
    return getattr(error, "strerror", None) or printable(str(error)) or type(error).__name__


def tls_words(reason: str | None) -> str:
    """`TLSV1_ALERT_PROTOCOL_VERSION`, as OpenSSL names a reason, as people read it."""
    return (reason or "unknown reason").replace("_", " ").lower()


def host_and_port(host: str, port: int | None) -> str:
    """`127.0.0.1:8420`, `[::1]:8420`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can express the text: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


REPLACEMENT = "\ufffd"
"""What stands for a byte that is not UTF-8 (Unicode 3.9, U+FFFD)."""


def without_surrogates(text: str) -> str:
    """The text with U+FFFD for each byte that was not UTF-8: Python holds such a byte as a lone surrogate."""
    return "".join(REPLACEMENT if "\ud800" <= char <= "\udfff" else char for char in text)


def near(word: str, choices: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The choices that were probably meant, the nearest first; case does not count.

    Args:
        word: the word that is not among the choices.
        choices: what it could have been.
        most: how many are given at most.
        cutoff: how alike they must be, from 0 to 1: lower where several are offered, higher for ids made at random.
    """
    if len(word) > LONGEST_GUESS:
        return []
    from difflib import get_close_matches  # noqa: PLC0415 - `hookd emit` needs it only where a word is misspelt

    folded: dict[str, list[str]] = {}
    for choice in _compared(word, list(choices)):
        folded.setdefault(choice.casefold(), []).append(choice)
    found = get_close_matches(word.casefold(), folded, n=most, cutoff=cutoff)
    return [choice for each in found for choice in folded[each]][:most]


def _compared(word: str, choices: list[str]) -> list[str]:
    """The choices; of more than `MOST_COMPARED`, those that begin or end like the word for the longest stretch."""
    if len(choices) <= MOST_COMPARED:
        return choices
    begin_alike = _narrowed(word, choices, lambda text, length: text[:length])
    end_alike = _narrowed(word, choices, lambda text, length: text[-length:])
    return list(dict.fromkeys(begin_alike + end_alike))


def _narrowed(word: str, choices: list[str], part: Callable[[str, int], str]) -> list[str]:
    """At most half of `MOST_COMPARED` choices: those of which the longest part is that of the word."""
    for length in range(1, len(word) + 1):
        wanted = part(word, length).casefold()
        closer = [choice for choice in choices if part(choice, length).casefold() == wanted]
        if len(choices) <= MOST_COMPARED // 2 or not closer:
            break
        choices = closer
    return choices[: MOST_COMPARED // 2]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean "x"?`, or nothing where no choice is near."""
    return "".join(f"; did you mean {quoted(choice)}?" for choice in near(word, choices))
