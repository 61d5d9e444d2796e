"""Messages: compiled once when the configuration is loaded, filled once when an event is taken in (spec 4).

A JSON message is compiled into literal JSON with slots between; a value can only ever become the inside of a
JSON string or one whole JSON value. So no value can break or inject JSON, and none is scanned for `${` again. Forms,
XML and HTML have their own escapes, by the webhook's Content-Type.

Must never: do I/O, read a clock or draw a random number; they come in as `Values`.
"""

from hookd.rules.templates.compiler import DEFAULT_MESSAGE, advice, compile_message
from hookd.rules.templates.renderer import Renderer, Values, fill
from hookd.rules.templates.secret_marks import UnknownSecret, fill_secrets, shown_body
from hookd.rules.templates.size_bound import MessageTooLarge, is_missing
from hookd.rules.templates.variables import (
    Source,
    TemplateError,
    foreign_variables,
    named_secrets,
    wrong_variables,
)

__all__ = [
    "DEFAULT_MESSAGE",
    "MessageTooLarge",
    "Renderer",
    "Source",
    "TemplateError",
    "UnknownSecret",
    "Values",
    "advice",
    "compile_message",
    "fill",
    "fill_secrets",
    "foreign_variables",
    "is_missing",
    "named_secrets",
    "shown_body",
    "wrong_variables",
]
