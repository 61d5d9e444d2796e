"""How the answer to a taken event is shown.

Must never: print.
"""

from __future__ import annotations

from collections.abc import Mapping

from hookd.domain.text import printable

TYPE_CHECKING = False  # the checker's True; importing `typing` would be a tenth of all that `hookd emit` does
if TYPE_CHECKING:
    from typing import Any


def receipt_lines(answer: Mapping[str, Any]) -> list[str]:
    """The event's id, then a line for each delivery it made."""
    deliveries = [
        f"  {printable(made['id'])}  {printable(made['task'] or '-')} → {printable(made['webhook'])}"
        for made in answer["deliveries"]
    ]
    return [f"{printable(answer['id'])}{_remark(answer)}", *deliveries]


def _remark(answer: Mapping[str, Any]) -> str:
    if answer["duplicate"]:
        return "  (taken before: nothing new is sent)"
    return "" if answer["deliveries"] else "  (nothing is sent: no rule matches, or its task is off or spent)"
