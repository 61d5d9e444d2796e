"""Warns of bodies that are signed in the style `standard`, and that the libraries for it fail on (spec 1).

Most of those libraries parse what they verified as JSON, so a receiver refuses a text whose signature is right.

Must never: report an error, since a receiver may verify by other means.
"""

from typing import Any

from hookd.config.yaml.cursor import Cursor
from hookd.domain.definitions import Method, Signing, SigningStyle
from hookd.domain.message_templates import BodyFormat
from hookd.rules import templates


def must_be_json(signing: Signing | None) -> bool:
    """Whether the libraries that verify this signature parse the body."""
    return signing is not None and signing.style is SigningStyle.STANDARD


def warn_of_webhook(signing: Cursor, method: Method, sent_as: BodyFormat) -> None:
    """Warns of a webhook whose bodies are never JSON. Without a Content-Type each message decides."""
    if method is Method.GET:
        _warn(signing, "the empty body of a GET")
    elif sent_as not in (BodyFormat.JSON, BodyFormat.UNTYPED):
        _warn(signing, "a body that is not JSON, as by this webhook's Content-Type")


def warn_of_message(task: Cursor, message: Any) -> None:
    """Warns of a task's text that is not JSON, for a webhook without a Content-Type."""
    cursor = task.get("message")
    if cursor is None or not isinstance(message, str):
        return
    try:
        templates.compile_message(message, body_format=BodyFormat.JSON)
    except templates.TemplateError:
        _warn(cursor, "this text, which is not JSON")


def _warn(cursor: Cursor, what: str) -> None:
    cursor.warn(
        "most libraries that verify the signing style standard then parse the body as JSON (standardwebhooks, svix 1) "
        f"and fail on {what}; send JSON, or let the receiver verify with one that does not parse"
    )
