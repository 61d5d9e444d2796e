"""Keeps a webhook's secrets out of what is stored and shown of an attempt (spec 14, Echoed secrets).

Must never: show what it masks.
"""

from collections.abc import Iterator

from hookd.delivery.http.secret_forms import SHORTEST, needles
from hookd.delivery.http.unescaped import CUT_ESCAPE, Unescaped, layers
from hookd.domain.definitions import WebhookDef

EXCERPT_BYTES = 4096
"""At most this much of an answer is kept (spec 5)."""

_MASK = b"***"

_BEYOND = 512
"""Bytes behind the excerpt that are looked at: more than the beginning of a secret takes, however it is escaped."""


class Redactor:
    """Masks one webhook's secrets. Made once for a definition."""

    def __init__(self, webhook: WebhookDef) -> None:
        self._needles = needles(webhook)
        self._shortest = min((len(beginning) for beginning, _ in self._needles), default=0)
        self.window = EXCERPT_BYTES + (_BEYOND if self._needles else 0)
        """Bytes of an answer that must be kept so that no secret is cut in two at the excerpt's end."""

    def __repr__(self) -> str:
        return f"Redactor({len(self._needles)} forms)"

    def excerpt(self, body: bytes, *, whole: bool) -> bytes:
        """Return what may be stored of an answer's body, at most 4 KiB.

        Args:
            body: its first bytes, up to `window`.
            whole: false: more followed, or should have; a secret may be cut off at the end.
        """
        body = body[: self.window]
        return self._masked(body, cut=not whole)[:EXCERPT_BYTES]

    def redact(self, text: str) -> str:
        """Return an error's text without secrets."""
        return self._masked(text.encode(errors="replace"), cut=False).decode(errors="replace")

    def _masked(self, data: bytes, *, cut: bool) -> bytes:
        """The data with a mask for each secret, as it stands there or as it does without some layers of escapes."""
        if not self._needles or (len(data) < self._shortest and not cut):
            return data
        spans = list(self._spans(data, cut=cut))
        taken: list[Unescaped] = []
        for layer in layers(data):
            taken.append(layer)
            spans += (_at_source(span, taken) for span in self._spans(layer.text, cut=cut))
        return _with_masks(data, spans)

    def _spans(self, text: bytes, *, cut: bool) -> Iterator[tuple[int, int]]:
        """Where secrets stand in a text; and, where it is cut off, the beginning of one at its end."""
        lowered = text.lower()  # of the same length: only ASCII letters change
        for beginning, whole in self._needles:
            at = lowered.find(beginning)
            while at >= 0:
                yield at, at + _alike(lowered, at, beginning, whole)
                at = lowered.find(beginning, at + 1)
        for shown in {lowered, CUT_ESCAPE.sub(b"", lowered)} if cut else ():
            begin = min(_cut_at(shown, beginning) for beginning, _ in self._needles)
            if begin < len(shown):
                yield begin, len(text)


def _alike(text: bytes, at: int, beginning: bytes, whole: bytes) -> int:
    """How much of `whole` stands at a place where its beginning does."""
    if text.startswith(whole, at):
        return len(whole)
    least, most = len(beginning), min(len(whole) - 1, len(text) - at)
    while least < most:
        middle = (least + most + 1) // 2
        if text.startswith(whole[:middle], at):
            least = middle
        else:
            most = middle - 1
    return least


def _cut_at(text: bytes, beginning: bytes) -> int:
    """Where a secret begins that a text ends within, if so little of it is there that it is not found; else its end."""
    for length in range(min(len(beginning) - 1, len(text)), SHORTEST - 1, -1):
        if text.endswith(beginning[:length]):
            return len(text) - length
    return len(text)


def _at_source(span: tuple[int, int], taken: list[Unescaped]) -> tuple[int, int]:
    for layer in reversed(taken):
        span = layer.span(*span)
    return span


def _with_masks(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    pieces: list[bytes] = []
    done = 0
    for begin, end in sorted(spans):
        if begin > done or not pieces:
            pieces += (data[done:begin], _MASK)
        done = max(done, end)
    return b"".join((*pieces, data[done:]))
