"""What a plain YAML scalar means: text, number, truth value or nothing, by the rules of YAML 1.1.

Must never: build any other object; dates stay text.
"""

import math
import re
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_MAX_NUMBER = 64
_KINDS: dict[str, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers


class BadScalar(Exception):
    """A scalar that is not what it says it is; the message is the end of a sentence."""


def resolve(text: str) -> str:
    """The tag of a plain scalar: `str`, `int`, `float`, `bool` or `null`, without its namespace."""
    for tag, pattern in _KINDS.get(text[:1], ()):
        if pattern.match(text):
            kind = tag.removeprefix(_TAG)
            return kind if kind in _MAKERS else "str"
    return "str"


def make(kind: str, text: str) -> Any:
    """The value of a scalar of this kind.

    Raises:
        BadScalar: the text is no such value, or not a finite number.
    """
    return text if kind == "str" else _MAKERS[kind](text)


def _make_bool(text: str) -> bool:
    truth = yaml.SafeLoader.bool_values.get(text.lower())
    if truth is None:
        raise BadScalar("is not a truth value; write true or false")
    return truth


def _make_null(text: str) -> None:
    if text not in {"", "~", "null", "Null", "NULL"}:
        raise BadScalar("is not null")


def _make_int(text: str) -> int:
    sign, digits = _split_sign(text)
    try:
        return sign * _unsigned_int(digits)
    except ValueError:
        raise BadScalar("is not a whole number") from None


def _unsigned_int(digits: str) -> int:
    lowered = digits.lower()
    if lowered.startswith("0b"):
        return int(lowered, 0)
    if lowered.startswith("0x"):
        return int(lowered, 0)
    if ":" in digits:
        return int(_sexagesimal(digits))
    return int(digits, 8) if digits.startswith("0") and digits != "0" else int(digits)


def _make_float(text: str) -> float:
    sign, digits = _split_sign(text)
    lowered = digits.lower()
    if lowered in {".inf", ".nan"}:
        raise BadScalar("is not a finite number")
    try:
        value = sign * (_sexagesimal(lowered) if ":" in lowered else float(lowered))
    except ValueError:
        raise BadScalar("is not a number") from None
    if not math.isfinite(value):
        raise BadScalar("is not a finite number")
    return value


def _split_sign(text: str) -> tuple[int, str]:
    if len(text) > _MAX_NUMBER:
        raise BadScalar(f"is a number of more than {_MAX_NUMBER} digits; quote it if it is meant as text")
    digits = text.replace("_", "")
    if digits[:1] in {"-", "+"}:
        return (-1 if digits[0] == "-" else 1), digits[1:]
    return 1, digits


def _sexagesimal(digits: str) -> float:
    value: float = 0
    for part in digits.split(":"):
        value = value * 60 + (float(part) if "." in part else int(part))
    return value


_MAKERS = {"bool": _make_bool, "null": _make_null, "int": _make_int, "float": _make_float}
