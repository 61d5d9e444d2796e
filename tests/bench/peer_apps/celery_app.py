"""Celery over Redis."""

import os
import time

import requests
from celery import Celery

app = Celery("celery_app", broker=os.environ["REDIS"])
app.conf.task_ignore_result = True
session = requests.Session()


@app.task(name="send", autoretry_for=(requests.RequestException,), retry_backoff=True)
def send(body: str) -> None:
    """Send one."""
    session.post(
        os.environ["URL"], data=body, headers={"Content-Type": "application/json"}
    ).raise_for_status()


def work(*words: str) -> None:
    """Run its worker."""
    app.worker_main(["worker", "--loglevel", "WARNING", *words])


def post(count: int) -> None:
    """Enqueue one by one."""
    print(time.time(), flush=True)
    for number in range(count):
        send.delay(f'{{"n": {number}}}')
