"""`hookd receive`: a test receiver (spec 8).

Must never: be used for anything but tests; it trusts every client.
"""

import argparse
import asyncio
import base64
import itertools
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hookd.cli.failure import USAGE, Failure
from hookd.cli.options import add_json, duration, text, whole_number
from hookd.cli.output.terminal import as_json_line, pretty_body, visible_block
from hookd.domain.text import error_text, host_and_port, printable
from hookd.domain.times import date_time

if TYPE_CHECKING:
    from hookd.cli.testbench.receiver import Behaviour, ReceivedRequest, Receiver

DESCRIPTION = """A receiver to try things out with: prints requests, checks signatures, answers as asked.

With --secret or --secret-env, signatures are checked (Standard Webhooks and GitHub); what a check finds is
printed and changes no answer. Ends on Ctrl-C, SIGTERM, or after --count requests."""
EXAMPLE = "hookd receive --status 503,200 --header 'Retry-After: 3' --secret-env SIGNING_SECRET"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take where to listen and how to answer."""
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        type=_address,
        default="127.0.0.1:9099",
        help="default: %(default)s; port 0 takes a free one",
    )
    _take_answers(parser)
    _take_secrets(parser)
    parser.add_argument(
        "--count",
        metavar="N",
        type=whole_number,
        default=0,
        help="end after N requests (0, the default: never)",
    )
    add_json(parser)


def _take_answers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--status",
        metavar="N[,N…]",
        type=_statuses,
        default="200",
        help="the status of every answer; several take turns",
    )
    parser.add_argument(
        "--delay",
        metavar="DURATION",
        type=duration,
        default=0.0,
        help="wait this long before each answer, such as 2s",
    )
    silence = parser.add_mutually_exclusive_group()
    silence.add_argument("--hang", action="store_true", help="take requests and never answer")
    silence.add_argument("--reset", action="store_true", help="take requests and reset the connection")
    parser.add_argument(
        "--response", metavar="TEXT", type=text, default="ok\n", help="the body of every answer"
    )
    parser.add_argument(
        "--header",
        metavar="'NAME: VALUE'",
        type=_header,
        action="append",
        default=[],
        help="a header of every answer; may be repeated",
    )


def _take_secrets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--secret",
        metavar="SECRET",
        type=text,
        action="append",
        default=[],
        help="check signatures with it; may be repeated (others can see it in the process list)",
    )
    parser.add_argument(
        "--secret-env",
        metavar="NAME",
        action="append",
        default=[],
        help="the same, from an environment variable",
    )
    parser.add_argument(
        "--secret-format",
        choices=("auto", "base64", "text"),
        default="auto",
        help="how Standard Webhooks secrets are read, as the webhook's signing.secret_format (default: auto)",
    )


def run(options: argparse.Namespace) -> int:
    """Receive until SIGTERM or Ctrl-C, or for as many requests as asked."""
    secrets = (*options.secret, *map(_from_environment, options.secret_env))
    _check_secrets(secrets, options.secret_format)
    asyncio.run(_receive(options, secrets))
    return 0


async def _receive(options: argparse.Namespace, secrets: tuple[str, ...]) -> None:
    from hookd.cli.testbench.receiver import Receiver
    from hookd.domain.definitions import SecretFormat

    receiver = Receiver(
        default=_behaviour(options), secrets=secrets, secret_format=SecretFormat(options.secret_format)
    )
    host, port = options.listen
    try:
        address = await receiver.start(host, port)
    except OSError as error:
        raise Failure(f"cannot listen on {host_and_port(host, port)}: {error_text(error)}") from None
    printing = asyncio.ensure_future(_print_requests(receiver, *address, options))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, printing.cancel)
    grace_s = 0.0
    try:
        await printing
        grace_s = 0.0 if options.hang else options.delay + 1
    except asyncio.CancelledError:
        pass  # asked to stop, which is how this command ends
    finally:
        await receiver.stop(grace_s=grace_s)


async def _print_requests(receiver: "Receiver", host: str, port: int, options: argparse.Namespace) -> None:
    print(
        f"listening on http://{host_and_port(host, port)}",
        file=sys.stderr if options.json else sys.stdout,
        flush=True,
    )
    for number in itertools.count(1):
        received = await receiver.next_request()
        print(json_line(received) if options.json else "\n".join(request_lines(received)), flush=True)
        if number == options.count:
            return


def request_lines(received: "ReceivedRequest") -> list[str]:
    """A request for people. What is ours begins at the margin, what came with the request is behind it."""
    verdict = [f"signature: {_verdict(received)}"] if received.signature else []
    body = received.body.decode("utf-8", "backslashreplace")
    return [
        printable(f"{_time(received)} {received.method} {received.target}"),
        *verdict,
        *(printable(f"  {name}: {value}") for name, value in received.headers),
        *(visible_block(pretty_body(body)) if body else ("  (no body)",)),
        "",
    ]


def _verdict(received: "ReceivedRequest") -> str:
    assert received.signature
    details = filter(None, (received.signature.style, received.signature.reason))
    return f"{received.signature.verdict} ({', '.join(map(printable, details))})"


def json_line(received: "ReceivedRequest") -> str:
    """A request as a line of JSON; a body that is not UTF-8 stands under `body_base64`."""
    signature = received.signature
    return as_json_line(
        {
            "time": _time(received),
            "method": received.method,
            "path": received.target,
            "headers": received.headers,
            **_body(received.body),
            "signature": signature
            and {"verdict": signature.verdict, "style": signature.style, "reason": signature.reason},
        }
    )


def _body(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _time(received: "ReceivedRequest") -> str:
    return date_time(received.at, "auto")


def _behaviour(options: argparse.Namespace) -> "Behaviour":
    from hookd.cli.testbench.receiver import Behaviour

    return Behaviour(
        statuses=options.status,
        delay_s=options.delay,
        hang=options.hang,
        reset=options.reset,
        text=options.response,
        headers=tuple(options.header),
    )


def _from_environment(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise Failure(f"--secret-env: the environment variable {name} is not set", code=USAGE)
    return value


def _check_secrets(secrets: Sequence[str], secret_format: str) -> None:
    from hookd.domain.definitions import SecretFormat
    from hookd.domain.signatures import signing_key

    if "" in secrets:
        raise Failure("a secret cannot be used: it is empty", code=USAGE)
    try:
        for secret in secrets:
            signing_key(secret, SecretFormat(secret_format))
    except ValueError as error:
        raise Failure(f"a secret cannot be used: {error}", code=USAGE) from None


def _address(value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    if not (host and port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{value!r} is not HOST:PORT, such as 127.0.0.1:9099 or [::1]:9099")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _statuses(value: str) -> tuple[int, ...]:
    words = value.split(",")
    if not all(re.fullmatch("[2-5][0-9][0-9]", word) for word in words):
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a status from 200 to 599, or several with commas between"
        )
    return tuple(map(int, words))


def _header(value: str) -> tuple[str, str]:
    found = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)", value)
    if not found:
        raise argparse.ArgumentTypeError(f"{value!r} is not a header, such as 'Retry-After: 3'")
    return found[1], found[2].rstrip()
