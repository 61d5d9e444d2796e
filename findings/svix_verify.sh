#!/usr/bin/env bash
# svix 2 checks a webhook's signature and returns nothing; standardwebhooks returns the body, if that is JSON.
#
# Seen:      2026-11-30 on Python 3.11 and Node 20; npm: svix 2.5.0 and 1.99.1, standardwebhooks 1.1.1; PyPI: svix 2.9.1
#            and 1.99.1, standardwebhooks 1.1.0.
# Guess:     `payload = webhook.verify(body, headers)` gives the payload: so in every tutorial, and svix is built on
#            standardwebhooks, by the same people. A signature that is right is enough for any body.
# Happens:   from svix 2.0 on `verify` gives undefined or None. In svix 1 and standardwebhooks it parses the body once
#            the signature is found right, so a signed text raises the JSON parser's error and not the library's own; an
#            empty body is undefined in JavaScript and an error in Python.
# Who:       a Python receiver with `svix>=1`, at its next install; a sender that signs plain text; a receiver that
#            answers 401 to the library's WebhookVerificationError and 500 to everything else.
set -euo pipefail

command -v npm > /dev/null || { echo "skipped: needs npm (apt-get install npm)"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

npm install --prefix "$tmp/npm" --silent --no-audit --no-fund --ignore-scripts \
  svix@2.5.0 svix1@npm:svix@1.99.1 standardwebhooks@1.1.1
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq svix==2.9.1 standardwebhooks==1.1.0
"$tmp/venv/bin/pip" install -qq --no-deps --target "$tmp/svix1" svix==1.99.1

cat > "$tmp/npm/look.mjs" <<'JS'
import { createRequire } from "module";

const require = createRequire(import.meta.url);
for (const name of ["standardwebhooks", "svix1", "svix"]) {
  const { Webhook, WebhookVerificationError } = require(name);
  const { name: known, version } = require(`./node_modules/${name}/package.json`);
  const webhook = new Webhook("whsec_" + Buffer.alloc(24, 7).toString("base64"));
  const said = ['{"a": 1}', "disk full", ""].map((body) => {
    const now = new Date();
    const headers = {
      "webhook-id": "msg_1",
      "webhook-timestamp": String(Math.floor(now / 1000)),
      "webhook-signature": webhook.sign("msg_1", now, body),
    };
    try {
      return String(JSON.stringify(webhook.verify(body, headers)));
    } catch (error) {
      return error.constructor.name + (error instanceof WebhookVerificationError ? " (its own)" : "");
    }
  });
  console.log([`npm ${known} ${version}`.padEnd(29), ...said.map((word) => word.padEnd(16))].join("").trimEnd());
}
JS
cat > "$tmp/look.py" <<'PY'
import sys
from datetime import datetime, timezone
from importlib.metadata import version

from standardwebhooks import Webhook as Standard
from standardwebhooks import WebhookVerificationError as StandardError
from svix.webhooks import Webhook as Svix
from svix.webhooks import WebhookVerificationError as SvixError

OWN = (StandardError, SvixError)
name = sys.argv[1]
webhook = {"standardwebhooks": Standard, "svix": Svix}[name]("whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH")
said = []
for body in ('{"a": 1}', "disk full", ""):
    now = datetime.now(timezone.utc)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": webhook.sign("msg_1", now, body),
    }
    try:
        said.append(repr(webhook.verify(body, headers)))
    except Exception as error:
        said.append(type(error).__name__ + " (its own)" * isinstance(error, OWN))
print(f"PyPI {name} {version(name)}".ljust(29) + "".join(word.ljust(16) for word in said).rstrip())
PY

{
  echo '                             {"a": 1}        disk full       (empty)'
  node "$tmp/npm/look.mjs"
  "$tmp/venv/bin/python" "$tmp/look.py" standardwebhooks
  PYTHONPATH="$tmp/svix1" "$tmp/venv/bin/python" "$tmp/look.py" svix
  "$tmp/venv/bin/python" "$tmp/look.py" svix
} | tee "$tmp/seen"

diff -u - "$tmp/seen" <<'EXPECTED' || { echo "no longer as it was seen"; exit 1; }
                             {"a": 1}        disk full       (empty)
npm standardwebhooks 1.1.1   {"a":1}         SyntaxError     undefined
npm svix 1.99.1              {"a":1}         SyntaxError     SyntaxError
npm svix 2.5.0               undefined       undefined       undefined
PyPI standardwebhooks 1.1.0  {'a': 1}        JSONDecodeError JSONDecodeError
PyPI svix 1.99.1             {'a': 1}        JSONDecodeError JSONDecodeError
PyPI svix 2.9.1              None            None            None
EXPECTED
echo "as seen on 2026-11-30"
