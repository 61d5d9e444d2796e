"""Time zones by their IANA names (spec 1).

Must never: raise for a name that is none.
"""

import zoneinfo
from functools import lru_cache

from hookd.config.yaml.cursor import Cursor
from hookd.domain.text import quoted


def read_timezone(view: Cursor | None, default: str) -> str:
    """The name of a time zone; one that does not exist is reported, and the default stands in for it."""
    if view is None:
        return default
    if is_zone(view.value):
        return str(view.value)
    near = view.scope.meant(view.value, _zone_names())
    view.error(
        f"there is no time zone {quoted(view.value)}{near} "
        "(IANA names, such as Europe/Berlin; timedatectl list-timezones lists them)"
    )
    return default


def is_zone(name: str) -> bool:
    """Whether this system, or the tzdata package, knows a time zone of this name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    # Walks the whole database: once for the misspelt names of a load, not once for each.
    return frozenset(zoneinfo.available_timezones())
