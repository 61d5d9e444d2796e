#!/usr/bin/env bash
# The newest aioresponses with the newest aiohttp: every mocked answer raises, every mocked failure works.
#
# Seen:      2026-11-30 on Python 3.11; aioresponses 0.7.9 (its newest) with aiohttp 3.14.5 (its newest) and 3.13.5.
# Guess:     aioresponses 0.7.9 asks for `aiohttp<4.0,>=3.8`, so the two install together and work together.
# Happens:   since aiohttp 3.14.0 each mocked answer is a TypeError about `stream_writer`, inside the code under test.
#            `exception=`, `timeout=` and unmatched requests still behave, so tests of failures stay green. A
#            ClientResponse that fills the argument in helps only where each mock names it: the session's own
#            `response_class` is never asked. With aiohttp 3.13 that same class is the one that raises.
# Who:       a test suite that leaves aiohttp unpinned. Upstream: pnuckowski/aioresponses#289, open.
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cat > "$tmp/look.py" <<'PY'
import asyncio
from importlib.metadata import version
from unittest.mock import Mock

import aiohttp
from aioresponses import aioresponses

URL = "http://receiver.test/"


class Filled(aiohttp.ClientResponse):
    def __init__(self, *args, **kwargs):
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


async def ask(title, mock, **session):
    with aioresponses() as mocked:
        if mock is not None:
            mocked.get(URL, **mock)
        async with aiohttp.ClientSession(**session) as client:
            try:
                async with client.get(URL) as response:
                    outcome = f"{response.status} {await response.text()}"
            except Exception as error:
                outcome = type(error).__name__
                if "stream_writer" in str(error):
                    outcome += " about stream_writer"
    print(f"  {title:<39} {outcome}")


async def main():
    print(f"aiohttp {version('aiohttp')}, aioresponses {version('aioresponses')}")
    await ask("body='ok'", {"body": "ok"})
    await ask("status=503", {"status": 503, "body": "busy"})
    await ask("exception=ClientConnectionError()", {"exception": aiohttp.ClientConnectionError()})
    await ask("timeout=True", {"timeout": True})
    await ask("no mock for this URL", None)
    await ask("body='ok', session's response_class", {"body": "ok"}, response_class=Filled)
    await ask("body='ok', the mock's response_class", {"body": "ok", "response_class": Filled})


asyncio.run(main())
PY

for aiohttp in 3.14.5 3.13.5; do
  python3 -m venv "$tmp/$aiohttp"
  "$tmp/$aiohttp/bin/pip" install -qq "aiohttp==$aiohttp" aioresponses==0.7.9
  "$tmp/$aiohttp/bin/python" "$tmp/look.py"
done | tee "$tmp/seen"

diff -u - "$tmp/seen" <<'EXPECTED' || { echo "no longer as it was seen"; exit 1; }
aiohttp 3.14.5, aioresponses 0.7.9
  body='ok'                               TypeError about stream_writer
  status=503                              TypeError about stream_writer
  exception=ClientConnectionError()       ClientConnectionError
  timeout=True                            TimeoutError
  no mock for this URL                    ClientConnectionError
  body='ok', session's response_class     TypeError about stream_writer
  body='ok', the mock's response_class    200 ok
aiohttp 3.13.5, aioresponses 0.7.9
  body='ok'                               200 ok
  status=503                              503 busy
  exception=ClientConnectionError()       ClientConnectionError
  timeout=True                            TimeoutError
  no mock for this URL                    ClientConnectionError
  body='ok', session's response_class     200 ok
  body='ok', the mock's response_class    TypeError about stream_writer
EXPECTED
echo "as seen on 2026-11-30"
