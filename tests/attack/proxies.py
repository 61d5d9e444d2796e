"""Debian's nginx and HAProxy before a daemon, each of which lets `POST /v1/events` through and nothing else.

Both run as hookd's own user, who may all. They keep connections to the daemon and use each for one client after the
other.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.ports import free_port, wait_until_listening

_NGINX = """
user root; worker_processes 1; daemon off; pid {d}/nginx.pid; error_log {d}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {d}/body;
  proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  upstream hookd {{ server 127.0.0.1:{behind}; keepalive 2; }}
  server {{
    listen 127.0.0.1:{port};
    location = /v1/events {{
      limit_except POST {{ deny all; }}
      proxy_pass http://hookd; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_request_buffering off;
    }}
    location / {{ return 403; }}
  }}
}}
"""

_HAPROXY = """
global
  maxconn 1024
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  http-request deny unless {{ path /v1/events }} {{ method POST }}
  default_backend out
backend out
  server hookd 127.0.0.1:{behind}
"""


@contextmanager
def nginx(directory: Path, behind: int) -> Iterator[int]:
    """Run nginx before a port; yields its own."""
    program, port, conf = _program("nginx", "nginx-light"), free_port(), directory / "nginx.conf"
    conf.write_text(_NGINX.format(d=directory, port=port, behind=behind))
    with _running([program, "-c", str(conf), "-e", str(directory / "nginx.err")], port):
        yield port


@contextmanager
def haproxy(directory: Path, behind: int) -> Iterator[int]:
    """Run HAProxy before a port; yields its own."""
    program, port, conf = _program("haproxy", "haproxy"), free_port(), directory / "haproxy.cfg"
    conf.write_text(_HAPROXY.format(port=port, behind=behind))
    with _running([program, "-db", "-q", "-f", str(conf)], port):
        yield port


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if found is None:
        raise SystemExit(f"{name} is needed: apt-get install {package}")
    return found


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until_listening(process, port)
        yield
    finally:
        process.terminate()
        process.wait()
