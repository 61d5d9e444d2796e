"""Who asks, and what they may: the one concept by which every route decides (spec 12).

Must never: find out who somebody is; that is the listener's work.
"""

from enum import StrEnum

from hookd.domain.value_class import value_class


class Right(StrEnum):
    """One thing that a principal may do.

    Attributes:
        EMIT: post events.
        READ: look at everything that is listed and shown, the metrics among it.
        OPERATE: change what happens by hand: retry, cancel, pause, resume, send, trigger, rearm, reload, compare.
        METRICS: read the metrics.
    """

    EMIT = "emit"
    READ = "read"
    OPERATE = "operate"
    METRICS = "metrics"


EVERY_RIGHT = frozenset(Right)
"""What `all` stands for in the configuration."""


@value_class
class Principal:
    """Whoever sent a request.

    Attributes:
        name: for logs and refusals: `token NAME`, `uid N`, or `anyone`.
        may: what they may do on the listener that they came by.
    """

    name: str
    may: frozenset[Right]


def in_words(rights: frozenset[Right]) -> str:
    """What somebody has, as a sentence says it, in the order of `Right`."""
    if rights == EVERY_RIGHT:
        return "every right"
    named = [f"`{right}`" for right in Right if right in rights]
    return f"the right{'s' if len(named) > 1 else ''} {' and '.join(named)}" if named else "no right"
