"""Posts one body again and again over eight connections; or, with `--unfinished`, all but its last byte over many.

A program of its own, without anything of hookd's: `attacker.py PORT FILE REQUESTS [--unfinished]`. Prints the answers.
"""

import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

AT_ONCE = 8
UNFINISHED_S = 3.0


def head(length: int) -> bytes:
    return (
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def post(port: int, body: bytes, answers: Counter[str], *, finish: bool) -> None:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(len(body)) + (body if finish else body[:-1]))
        async with asyncio.timeout(60 if finish else UNFINISHED_S):
            answer = await reader.read()
        answers[answer[9:12].decode() or "closed"] += 1
    except TimeoutError:
        answers["none"] += 1
    except OSError:
        answers["closed"] += 1
    else:
        with suppress(OSError):
            writer.close()


async def main(port: int, body: bytes, requests: int, *, finish: bool) -> None:
    answers: Counter[str] = Counter()
    left = iter(range(requests))

    async def some() -> None:
        for _ in left:
            await post(port, body, answers, finish=finish)

    await asyncio.gather(*(some() for _ in range(AT_ONCE if finish else requests)))
    print(json.dumps(answers))


if __name__ == "__main__":
    _, port, path, requests, *more = sys.argv
    asyncio.run(main(int(port), Path(path).read_bytes(), int(requests), finish=not more))
