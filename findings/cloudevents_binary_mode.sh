#!/usr/bin/env bash
# One JSON event from the CloudEvents SDK for Python in binary mode: what its `data` is at the other end depends on the
# HTTP client that carried it, and on which of the project's own SDKs reads it.
#
# Seen:      2026-11-30 on Python 3.11 and Node 20; PyPI: cloudevents 2.2.0 with urllib, aiohttp 3.14.5, requests 2.34.2,
#            httpx 0.28.1; npm: cloudevents 10.0.0.
# Guess:     `to_binary_event(CloudEvent({…}, {"n": 1}))` is a JSON event, and arrives as one.
# Happens:   without `datacontenttype` the Python SDK writes JSON and no Content-Type. requests and httpx send none
#            either; urllib adds `application/x-www-form-urlencoded`, aiohttp `application/octet-stream`. The Python SDK
#            reads the first two as an object and the others as text; the SDK for JavaScript reads text in every case,
#            while its own `HTTP.binary` writes `application/json` unasked. Nothing raises. Structured mode is immune.
# Who:       a rule or template on `data.n` that never holds for one sender's events; an SDK's test that posts with
#            requests while production uses aiohttp.
set -euo pipefail

command -v npm > /dev/null || { echo "skipped: needs npm (apt-get install npm)"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

npm install --prefix "$tmp" --silent --no-audit --no-fund --ignore-scripts cloudevents@10.0.0
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq cloudevents==2.2.0 aiohttp==3.14.5 requests==2.34.2 httpx==0.28.1

cat > "$tmp/sdk.mjs" <<'JS'
import { readFileSync } from "fs";
import { CloudEvent, HTTP } from "cloudevents";

if (process.argv[2] === "write") {
  console.log(JSON.stringify(HTTP.binary(new CloudEvent({ type: "t", source: "/s", data: { n: 1 } }))));
} else {
  console.log(typeof HTTP.toEvent(JSON.parse(readFileSync(0, "utf8"))).data);
}
JS
cat > "$tmp/look.py" <<'PY'
import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import aiohttp
import httpx
import requests
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

arrived = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        arrived.append(HTTPMessage({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{server.server_port}/"


def with_urllib(headers, body):
    urllib.request.urlopen(urllib.request.Request(URL, data=body, headers=headers))


def with_aiohttp(headers, body):
    async def post():
        async with aiohttp.ClientSession() as session, session.post(URL, data=body, headers=headers):
            pass

    asyncio.run(post())


def with_requests(headers, body):
    requests.post(URL, data=body, headers=headers)


def with_httpx(headers, body):
    httpx.post(URL, content=body, headers=headers)


def javascript(what, given=""):
    ran = subprocess.run(["node", sys.argv[1], what], input=given, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def read_by_javascript(message):
    return javascript("read", json.dumps({"headers": message.headers, "body": message.body.decode()}))


def written_by_javascript():
    message = json.loads(javascript("write"))
    return HTTPMessage(message["headers"], message["body"].encode())


print("client                         Content-Type received              Python  JavaScript")
plain = CloudEvent({"type": "t", "source": "/s"}, {"n": 1})
named = CloudEvent({"type": "t", "source": "/s", "datacontenttype": "application/json"}, {"n": 1})
for title, post, message in (
    ("requests", with_requests, to_binary_event(plain)),
    ("httpx", with_httpx, to_binary_event(plain)),
    ("urllib", with_urllib, to_binary_event(plain)),
    ("aiohttp", with_aiohttp, to_binary_event(plain)),
    ("aiohttp, with datacontenttype", with_aiohttp, to_binary_event(named)),
    ("aiohttp, structured mode", with_aiohttp, to_structured_event(plain)),
    ("written by the JavaScript SDK", with_urllib, written_by_javascript()),
):
    post(message.headers, message.body)
    message = arrived.pop()
    kind = message.headers.get("content-type", "none")
    mine = type(from_http_event(message).get_data()).__name__
    print(f"{title:<31}{kind:<35}{mine:<8}{read_by_javascript(message)}")
PY

"$tmp/venv/bin/python" "$tmp/look.py" "$tmp/sdk.mjs" | tee "$tmp/seen"

diff -u - "$tmp/seen" <<'EXPECTED' || { echo "no longer as it was seen"; exit 1; }
client                         Content-Type received              Python  JavaScript
requests                       none                               dict    string
httpx                          none                               dict    string
urllib                         application/x-www-form-urlencoded  str     string
aiohttp                        application/octet-stream           str     string
aiohttp, with datacontenttype  application/json                   dict    object
aiohttp, structured mode       application/cloudevents+json       dict    object
written by the JavaScript SDK  application/json; charset=utf-8    dict    object
EXPECTED
echo "as seen on 2026-11-30"
