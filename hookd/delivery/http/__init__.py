"""One HTTP attempt: a webhook and a rendered message in, an `Outcome` out (spec 5).

`sender` makes the attempt, `route` writes the request, `http_client` finds or opens a `line` for it, `answer_reader`
reads what comes back unless `known_answers` remembers it, `deadlines` ends what takes too long, `tls` builds contexts,
`failures` turns what went wrong into a reason and a sentence, `redaction` keeps secrets out of both:
`secret_forms` says what to look for, `unescaped` in which reading of the text.

Must never: know that retries exist, follow a redirect, or raise for the remote's sake.
"""

from hookd.delivery.http.sender import Done, Sender, WireAttempt

__all__ = ["Done", "Sender", "WireAttempt"]
