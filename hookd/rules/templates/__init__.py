"""Messages: compiled once when the configuration is loaded, filled once when an event is taken in (spec 4).

A JSON message is compiled into literal JSON with slots between; a value can only ever become the inside of a
JSON string or one whole JSON value. So no value can break or inject JSON, and none is scanned for `${` again.

Must never: do I/O, read a clock or draw a random number; they come in as `Values`.
"""

from hookd.rules.templates.compiler import advice, compile_message
from hookd.rules.templates.renderer import Values, fill
from hookd.rules.templates.variables import Source, TemplateError, wrong_variables

__all__ = ["Source", "TemplateError", "Values", "advice", "compile_message", "fill", "wrong_variables"]
