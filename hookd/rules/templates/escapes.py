"""How text is written where it stands in a message: in JSON, in a form, in XML and HTML.

Must never: let a text end what it stands in, or become more than one value.
"""

from collections.abc import Callable, Mapping
from urllib.parse import quote

from hookd.domain.json_text import json_string
from hookd.domain.message_templates import Escaping

_MARKUP = {
    **{ord(char): f"&#{ord(char)};" for char in "\t\n\r'"},
    **{ord(char): entity for char, entity in zip('&<>"', ("&amp;", "&lt;", "&gt;", "&quot;"), strict=True)},
    **dict.fromkeys([*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF], "\ufffd"),
}
"""References for what XML and HTML take for markup or, in an attribute, change; U+FFFD for what XML cannot hold."""


def inside(text: str) -> str:
    """Text escaped to stand inside a JSON string."""
    return json_string(text)[1:-1]


_ESCAPES: Mapping[Escaping, Callable[[str], str]] = {
    Escaping.TEXT: str,
    Escaping.IN_STRING: inside,
    Escaping.STRING: json_string,
    Escaping.VALUE: json_string,
    Escaping.FORM: lambda text: quote(text, safe=""),
    Escaping.MARKUP: lambda text: text.translate(_MARKUP),
}


def escape_for(fill: Escaping) -> Callable[[str], str]:
    """How a text is written where it stands."""
    return _ESCAPES[fill]


def escaped(text: str, fill: Escaping) -> str:
    """A text as it is written where it stands."""
    return _ESCAPES[fill](text)
