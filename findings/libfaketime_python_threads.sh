#!/usr/bin/env bash
# Debian's libfaketime under Python threads: a faked wall clock alone makes them 10 to 50 times as slow.
#
# Seen:      2026-12-01, libfaketime 0.9.10-2.1 of Debian 12 (the same upstream release in 13), Python 3.11.
# Guess:     FAKETIME_DONT_FAKE_MONOTONIC=1 leaves every wait with a timeout alone: Python waits by the monotonic clock.
# Happens:   a thread that wants the interpreter's lock waits 5 ms for it in pthread_cond_timedwait, by the monotonic
#            clock. A workaround for some versions of glibc, on by default, reckons that time by the faked wall clock
#            all the same, so the wait is over at once, again and again: two busy threads spend nearly all their time on
#            hand-overs. Nothing fails; programs with threads are only slow, and tests time out now and then.
#            FAKETIME_FORCE_MONOTONIC_FIX=0 cures that. Where the monotonic clock is faked as well it must not be set:
#            the wait is then never over, and a busy thread keeps the lock to its end.
# Who:       tests that run a server under another date. Upstream: wolfcw/libfaketime#503, merged after 0.9.10.
set -euo pipefail

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && command -v python3 >/dev/null ||
  { echo "needs apt-get, dpkg-deb and python3"; exit 77; }

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"

version=0.9.10-2.1
(cd "$tmp" && apt-get download -qq "libfaketime=$version" 2>/dev/null) ||
  { echo "needs a Debian that has libfaketime $version"; exit 77; }
dpkg-deb -x "$tmp"/libfaketime_*.deb "$tmp/root"
library=$(find "$tmp/root" -name libfaketimeMT.so.1)

cat > "$tmp/look.py" <<'PY'
import sys
import threading
import time

STEP = 20_000
SECONDS = 2.0


def work(results):
    """Count until the time is up: how many steps were done, and the longest time between two of them."""
    until = time.monotonic() + SECONDS
    steps, longest, last = 0, 0.0, time.monotonic()
    while (now := time.monotonic()) < until:
        longest, last = max(longest, now - last), now
        for _ in range(STEP):
            pass
        steps += 1
    results.append((steps, max(longest, time.monotonic() - last)))


def rate(threads):
    """Steps of all threads for each second of processor, and how long a thread had to wait for its turn."""
    results, began, used = [], time.monotonic(), time.process_time()
    workers = [threading.Thread(target=work, args=(results,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    late = time.monotonic() - began - SECONDS
    return sum(steps for steps, _ in results) / (time.process_time() - used), max([late, *(gap for _, gap in results)])


alone, _ = rate(1)
together, gap = rate(2)
if together < 0.3 * alone:
    seen = "slow"
elif together < 0.6 * alone:
    seen = f"{together / alone:.2f} of one"
else:
    seen = "as fast as one; " + ("they take turns" if gap < 1.0 else "one waits for the other's end")
print(f"  {sys.argv[1]:<58} {seen}")
PY

look() {
  local title=$1
  shift
  env "$@" python3 "$tmp/look.py" "$title"
}

{
  echo "libfaketime $version, two threads"
  look "without it"
  look "FAKETIME=+1h" LD_PRELOAD="$library" FAKETIME=+1h
  look "FAKETIME=+1h DONT_FAKE_MONOTONIC=1" LD_PRELOAD="$library" FAKETIME=+1h FAKETIME_DONT_FAKE_MONOTONIC=1
  look "FAKETIME=+1h DONT_FAKE_MONOTONIC=1 FORCE_MONOTONIC_FIX=0" LD_PRELOAD="$library" FAKETIME=+1h \
    FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_FORCE_MONOTONIC_FIX=0
  look "FAKETIME=+1h FORCE_MONOTONIC_FIX=0" LD_PRELOAD="$library" FAKETIME=+1h FAKETIME_FORCE_MONOTONIC_FIX=0
} | tee "$tmp/seen"

diff -u - "$tmp/seen" <<'EXPECTED' || { echo "no longer as it was seen"; exit 1; }
libfaketime 0.9.10-2.1, two threads
  without it                                                 as fast as one; they take turns
  FAKETIME=+1h                                               as fast as one; they take turns
  FAKETIME=+1h DONT_FAKE_MONOTONIC=1                         slow
  FAKETIME=+1h DONT_FAKE_MONOTONIC=1 FORCE_MONOTONIC_FIX=0   as fast as one; they take turns
  FAKETIME=+1h FORCE_MONOTONIC_FIX=0                         as fast as one; one waits for the other's end
EXPECTED
echo "as seen on 2026-12-01"
