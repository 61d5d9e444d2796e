"""A local nginx that answers 204, for as long as a benchmark runs."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.ports import free_port, listens

_CONF = """
worker_processes 1; daemon off; pid {d}/nginx.pid; error_log {d}/nginx.err;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 10000000; keepalive_timeout 60s;
  client_body_temp_path {d}/body;
  proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}
}}
"""

START_S = 10.0


@contextmanager
def nginx(directory: Path) -> Iterator[str]:
    """Run nginx; yields its URL."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise SystemExit("nginx is needed: apt-get install nginx-light")
    port = free_port()
    conf = directory / "nginx.conf"
    conf.write_text(_CONF.format(d=directory, port=port))
    process = subprocess.Popen([program, "-c", str(conf), "-e", str(directory / "nginx.err")], cwd=directory)
    try:
        _wait_until_listening(process, port)
        yield f"http://127.0.0.1:{port}/hook"
    finally:
        process.terminate()
        process.wait()


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    give_up_at = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < give_up_at:
        if listens(port):
            return
        time.sleep(0.01)
    raise SystemExit("nginx did not start")
