"""The description of the API that `GET /openapi.json` answers (spec 9): `openapi.yaml` beside this module.

It is read when it is first asked for: reading it takes some 20 ms, and memory that a daemon in service need not hold.

Must never: say what a route takes or answers; that stands in the YAML alone, and the rights in `rights`.
"""

from importlib import resources
from string import Template
from typing import Any

from hookd import __version__
from hookd.api.rights import RIGHTS
from hookd.server.limits import Limits


def document(*, guarded: bool = True) -> dict[str, Any]:
    """The description of the whole API; `guarded`: of a listener that asks for a token."""
    import yaml  # noqa: PLC0415 - the daemon reads no other YAML itself

    text = (resources.files("hookd.api") / "openapi.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - it is a safe loader
    del found["x-parts"]
    if not guarded:
        del found["security"]
    for (method, path), rights in RIGHTS.items():
        if rights:
            found["paths"][path][method.lower()]["x-may"] = sorted(rights)
    found["info"]["version"] = __version__
    found["info"]["description"] = Template(found["info"]["description"]).substitute(_limits())
    return found


def _limits() -> dict[str, str]:
    limits = Limits()
    return {
        "body_s": f"{limits.body_s:.0f}",
        "connections": f"{limits.connections:,}",
        "head_line": f"{limits.head_line:,}",
        "head_s": f"{limits.head_s:.0f}",
        "headers": str(limits.headers),
    }
