"""One HTTP attempt: a webhook and a rendered message in, an `Outcome` out (spec 5).

`sender` makes the attempt, `wire` is the one module that speaks to aiohttp, `tls` builds contexts, `faults`
turns what went wrong into a reason and a sentence, `mask` keeps secrets out of both.

Must never: know that retries exist, follow a redirect, or raise for the remote's sake. Called by: `worker`.
"""

from hookd.send.sender import Sender

__all__ = ["Sender"]
