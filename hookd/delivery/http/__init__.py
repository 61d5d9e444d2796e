"""One HTTP attempt: a webhook and a rendered message in, an `Outcome` out (spec 5).

`sender` makes the attempt, `http_client` is the one module that speaks to aiohttp, `tls` builds contexts,
`failures` turns what went wrong into a reason and a sentence, `redaction` keeps secrets out of both:
`secret_forms` says what to look for, `unescaped` in which reading of the text.

Must never: know that retries exist, follow a redirect, or raise for the remote's sake.
"""

from hookd.delivery.http.sender import Sender

__all__ = ["Sender"]
