"""Configurations with a fault beside, or in, a secret: the finding names the place and never the value.

Must never: hold a fault that does not make the configuration invalid. Called by: `canaries`.
"""

import asyncio
import json
from typing import Protocol

from tests.kit.stage import Stage

FAULTS = {
    "userinfo": "url: 'http://user:CANARY@localhost/'",
    "scheme": "url: 'ftp://localhost/CANARY'",
    "space": "url: 'http://localhost/a b/CANARY'",
    "fragment": "url: 'http://localhost/#CANARY'",
    "port": "url: 'http://localhost:99999/CANARY'",
    "host": "url: 'http://CANARY..x/'",
    "brackets": "url: 'http://[CANARY/'",
    "variable": "url: 'http://localhost/${CANARY}'",
    "list": "url: [CANARY]",
    "nested": "url: {env: [CANARY]}",
    "two references": "url: http://localhost/\n    auth: {type: bearer, token: {env: A, value: CANARY}}",
    "token list": "url: http://localhost/\n    auth: {type: bearer, token: [CANARY]}",
    "line break": 'url: http://localhost/\n    auth: {type: bearer, token: "CANARY\\r\\nX: y"}',
    "nul": 'url: http://localhost/\n    headers: {X-Key: "CANARY\\0"}',
    "colon": "url: http://localhost/\n    auth: {type: basic, username: 'a:b', password: CANARY}",
    "no user": "url: http://localhost/\n    auth: {type: basic, password: CANARY}",
    "wrong kind": "url: http://localhost/\n    auth: {type: none, token: CANARY}",
    "twice": "url: http://localhost/\n    auth: {type: bearer, token: a, token: CANARY}",
    "signing": "url: http://localhost/\n    signing: {secret: 'whsec_!!CANARY'}",
    "signing kind": "url: http://localhost/\n    signing: CANARY",
    "no colon": 'url: http://localhost/\n    headers: "X-Key CANARY"',
    "header map": "url: http://localhost/\n    headers: {X-Key: {value: CANARY}}",
    "open quote": 'url: http://localhost/\n    auth: {type: bearer, token: "CANARY}',
    "two colons": "url: http://localhost/\n    description: CANARY: CANARY: x",
    "unknown key": "url: http://localhost/\n    auth: {type: bearer, token: CANARY, tocken: CANARY}",
}
"""By what is wrong. Where YAML has a name (a tag, an alias, a key) the finding may repeat it: not among these."""


class Searcher(Protocol):
    """What `canaries.Cage` offers."""

    def new(self, place: str) -> str: ...
    def search(self, name: str, text: bytes | str) -> None: ...


async def faulty(stage: Stage, cage: Searcher, good: str, *, short: bool) -> None:
    """Check faulty configurations, reload with some of them, then put the good one back; `short`: fewer."""
    seats = asyncio.Semaphore(2)
    files: dict[str, str] = {}
    faults = dict(list(FAULTS.items())[:: 2 if short else 1])
    forms = ("json",) if short else ("text", "json")
    for name, fault in faults.items():
        bird = cage.new(f"a fault: {name}")
        broken = good + f"  faulty:\n    {fault.replace('CANARY', bird)}\n"
        file = f"broken-{len(files)}.yaml"
        (stage.directory / file).write_text(broken)
        files[name] = file

    async def check(name: str, form: str) -> None:
        async with seats:
            ran = await stage.hookd("check", "--format", form, files[name])
        assert ran.code == 1, f"{name} is no fault: {ran.out}"
        cage.search(f"hookd check of {name}", ran.out + ran.err)

    await asyncio.gather(*(check(name, form) for name in faults for form in forms))
    for name in list(faults)[: 3 if short else None]:
        (stage.directory / "hookd.yaml").write_bytes((stage.directory / files[name]).read_bytes())
        _, answer = await stage.daemon.request("POST", "/v1/reload")
        cage.search(f"the reload of {name}", json.dumps(answer))
        _, compared = await stage.daemon.request("POST", "/v1/config/diff")
        cage.search(f"the comparison of {name}", json.dumps(compared))
        cage.search(f"the status after {name}", json.dumps(await stage.daemon.get("/v1/status")))
    (stage.directory / "hookd.yaml").write_text(good)
