"""A local nginx that answers 204, for as long as a benchmark runs; also one that limits its rate."""

import itertools
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.ports import free_port, wait_until_listening
from tests.kit.tls import Pair

_CONF = """
worker_processes 1; daemon off; pid {d}/nginx.pid; error_log {d}/nginx.err;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 10000000; keepalive_timeout 60s;
  client_body_temp_path {d}/body;
  proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
{servers}
}}
"""

_AT_ONCE = "  server {{ listen 127.0.0.1:{port}{tls}; location / {{ {header} return 204; }} }}"
_COUNTED = """
  server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} location /status {{ stub_status; }} }}
"""
_TLS = " ssl; ssl_certificate {pair.cert}; ssl_certificate_key {pair.key}"
_OWN_ID = "add_header X-Request-Id $request_id;"

_LIMITED = """
  limit_req_zone $binary_remote_addr zone=hooks:1m rate={rate}r/s;
  server {{ listen 127.0.0.1:{behind}; location / {{ return 204; }} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      limit_req zone=hooks burst={burst} nodelay;
      limit_req_status {status};
      proxy_pass http://127.0.0.1:{behind};
    }}
  }}
"""


@contextmanager
def nginx(directory: Path, *, own_ids: bool = False, pair: Pair | None = None) -> Iterator[str]:
    """Run nginx; yields its URL.

    Args:
        directory: for its files.
        own_ids: whether each answer has another `X-Request-Id`.
        pair: with it, it speaks HTTPS alone.
    """
    port = free_port()
    tls = _TLS.format(pair=pair) if pair else ""
    servers = _AT_ONCE.format(port=port, tls=tls, header=_OWN_ID if own_ids else "")
    with _running(directory, servers, port) as url:
        yield url.replace("http:", "https:") if pair else url


@contextmanager
def counting_nginx(directory: Path) -> Iterator[tuple[str, Callable[[], int]]]:
    """Run one that counts; yields its URL, and what tells how many requests it has had, but for such questions."""
    port, asked = free_port(), itertools.count(1)

    def count() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status") as answer:
            return int(answer.read().split()[9]) - next(asked)

    with _running(directory, _COUNTED.format(port=port), port) as url:
        yield url, count


@contextmanager
def limiting_nginx(directory: Path, *, rate: int, burst: int, status: int) -> Iterator[str]:
    """Run one that answers `status` to what exceeds `rate` requests a second and its burst; yields its URL."""
    port, behind = free_port(), free_port()
    servers = _LIMITED.format(port=port, behind=behind, rate=rate, burst=burst, status=status)
    with _running(directory, servers, port) as url:
        yield url


@contextmanager
def _running(directory: Path, servers: str, port: int) -> Iterator[str]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise SystemExit("nginx is needed: apt-get install nginx-light")
    conf = directory / "nginx.conf"
    conf.write_text(_CONF.format(d=directory, servers=servers))
    process = subprocess.Popen([program, "-c", str(conf), "-e", str(directory / "nginx.err")], cwd=directory)
    try:
        wait_until_listening(process, port)
        yield f"http://127.0.0.1:{port}/hook"
    finally:
        process.terminate()
        process.wait()
