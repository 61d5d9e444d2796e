"""huey on SQLite."""

import os
import threading
import time

import requests
from huey import SqliteHuey

WORKERS = 8

huey = SqliteHuey(filename=os.environ["FOLDER"] + "/huey.db", results=False)
local = threading.local()


@huey.task(retries=10, retry_delay=1)
def send(body: str) -> None:
    """Send one, over the worker's own connection."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
    headers = {"Content-Type": "application/json"}
    local.session.post(os.environ["URL"], data=body, headers=headers).raise_for_status()


def work() -> None:
    """Run its worker."""
    huey.create_consumer(workers=WORKERS).run()


def post(count: int) -> None:
    """Enqueue one by one."""
    print(time.time(), flush=True)
    for number in range(count):
        send(f'{{"n": {number}}}')
