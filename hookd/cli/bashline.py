"""A line that is being typed in bash: its words, and how the rest of the last one is written there.

Readline replaces only what follows the last quote, or the last character of `COMP_WORDBREAKS`, of the word under the
cursor; and what a completion inserts is not quoted by bash.

Must never: expand anything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_PLAIN = re.compile(r"[\w@%+,./-]", re.UNICODE)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A line up to the cursor.

    Attributes:
        words: what it says, quotes removed, without the program; the last is being typed, and may be empty.
        kept: how many characters of the last word readline leaves alone.
        quote: the quote that is open at the cursor, or an empty text.
    """

    words: Sequence[str]
    kept: int
    quote: str

    def rest_of(self, word: str) -> str:
        """What stands in place of the part that readline replaces, so that the word becomes this one."""
        rest = word[self.kept :]
        if self.quote == "'":
            return rest.replace("'", "'\\''")
        if self.quote == '"':
            return re.sub(r'([\\"$`])', r"\\\1", rest).replace("!", '"\\!"')
        return "".join(char if _PLAIN.match(char) else f"\\{char}" for char in rest)


def parse(line: str, breaks: str) -> CommandLine:
    """Take a line apart; `breaks` is bash's COMP_WORDBREAKS."""
    words, word, started = [], "", False
    quote, kept = "", 0
    chars = iter(line)
    for char in chars:
        if quote:
            if char == quote:
                quote, kept = "", len(word) if char in breaks else kept
            elif char == "\\" and quote == '"':
                following = next(chars, "")
                word += following if following in '$`"\\' else char + following
            else:
                word += char
        elif char in " \t\n":
            if started:
                words.append(word)
            word, started, kept = "", False, 0
            continue
        elif char in "'\"":
            quote, kept = char, len(word)
        elif char == "\\":
            word += next(chars, "")
        else:
            word += char
            kept = len(word) if char in breaks else kept
        started = True
    return CommandLine(_after_program([*words, word]), kept, quote)


def _after_program(words: list[str]) -> list[str]:
    first = next((n for n, word in enumerate(words) if not _ASSIGNMENT.match(word)), 0)
    return words[first + 1 :] or [""]
