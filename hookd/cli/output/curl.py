"""A request as a line for curl that sends the same bytes, pasted into whatever shell (spec 8, `explain`).

Must never: write a secret; it is the shell's variable where it comes from one, else `***`.
"""

import re
from collections.abc import Iterator, Mapping

from hookd.cli.output.shell_words import printf_command, shell_word
from hookd.domain.definitions import Method
from hookd.dryrun.explain import MASK, ExplainedRequest, Shown

_OPENING = "curl -q -i -g --http1.1 --noproxy '*' --path-as-is"
"""No ~/.curlrc, the answer's head shown, no globbing; and as hookd does: HTTP/1.1, no proxy, the path as it is."""

_LONGEST_ARGUMENT = 100_000
"""Bytes; Linux takes 128 KiB in one argument."""

_EXPECTING = 1024
"""From this many bytes of body on, curl versions ask for `100 Continue`, which hookd never does."""

_VARIABLE = re.compile(r"env ([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)


def curl_line(given: ExplainedRequest, environment: Mapping[str, str]) -> str:
    """Write the request as one command over several lines.

    Args:
        given: the request.
        environment: the one that `{env: NAME}` was read from; tells which part of a header is the variable's.
    """
    request = given.request
    secrets = zip(given.headers, request.headers, strict=True)
    parts = [
        f"{_piped(request.body)}{_OPENING}",
        f"--max-time {given.timeout_s:g}",
        f"-X {request.method}",
        *(_header(name, value, real, environment) for (name, value), (_, real) in secrets),
        *_removals(given),
        *_data(given),
        *_tls(given),
        _url(given, environment),
    ]
    return " \\\n  ".join(parts)


def _header(name: str, value: Shown, real: str, environment: Mapping[str, str]) -> str:
    if not value.reference:
        # curl sends a header without a value only where a semicolon takes the colon's place.
        return "-H " + shell_word(f"{name}: {value.text}" if value.text else f"{name};")
    variable = _variable(value.reference, real, environment)
    if variable is None:
        return "-H " + shell_word(f"{name}: {value.text}")
    prefix = real.removesuffix(environment[variable])
    return f'-H {shell_word(f"{name}: {prefix}")}"${variable}"'


def _variable(reference: str, real: str, environment: Mapping[str, str]) -> str | None:
    """The variable that a value ends in; none where its text was changed on its way (Basic, trimmed spaces)."""
    found = _VARIABLE.fullmatch(reference)
    text = environment.get(found[1], "") if found else ""
    if found is None or not text or not real.endswith(text):
        return None
    encoded = text != real and real.lower().startswith("basic ")
    return None if encoded else found[1]


def _removals(given: ExplainedRequest) -> Iterator[str]:
    """What curl would add by itself."""
    names = {name.lower() for name, _ in given.headers}
    for name in ("Accept", "Content-Type", *(("Expect",) if len(given.request.body) > _EXPECTING else ())):
        if name.lower() not in names:
            yield f"-H '{name}:'"


def _piped(body: bytes) -> str:
    """The command that writes the body, where it cannot stand in an argument of curl; `printf` is the shell's own."""
    return f"{printf_command(body.decode())} | " if _needs_pipe(body) else ""


def _needs_pipe(body: bytes) -> bool:
    return len(body) > _LONGEST_ARGUMENT or not body.decode().isprintable()


def _data(given: ExplainedRequest) -> Iterator[str]:
    body = given.request.body
    if given.request.method is not Method.GET:
        yield "--data-binary @-" if _needs_pipe(body) else f"--data-raw {shell_word(body.decode())}"


def _tls(given: ExplainedRequest) -> Iterator[str]:
    tls = given.tls
    if not given.request.url.lower().startswith("https:"):
        return
    yield "--tlsv1.2"
    if tls.insecure:
        yield "-k"
    elif tls.ca is not None:
        yield f"--cacert {shell_word(tls.ca)}"
    if tls.cert is not None:
        # What follows a colon would be a passphrase.
        yield "--cert " + shell_word(tls.cert.replace("\\", r"\\").replace(":", r"\:"))
    if tls.key is not None:
        yield f"--key {shell_word(tls.key)}"


def _url(given: ExplainedRequest, environment: Mapping[str, str]) -> str:
    variable = _variable(given.url.reference, given.request.url, environment)
    if variable is not None and environment[variable] == given.request.url:
        return f'"${variable}"'
    return shell_word(given.url.text.replace("…", MASK) if given.url.reference else given.url.text)
