#!/usr/bin/env bash
# Four cron lines that five libraries take, and no two of the five that agree on all of them.
#
# Seen:      2026-11-30 on Python 3.11 and Node 20; PyPI: cronsim 2.8, croniter 7.0.0, APScheduler 3.11.3, tzdata
#            2026.6; npm: croner 11.0.1, cron-parser 5.10.6. Each with its defaults, in Europe/Berlin.
# Guess:     a five-field line means one thing. Where both day fields are set either may match, as in crontab(5); a job
#            at 02:30 runs once in the night in which 02:30 comes twice.
# Happens:   `0 0 */2 * MON`: cronsim (as Debian's cron: a field that begins with a star is no restriction) and
#            APScheduler (always) want an odd day that is a Monday; the others take odd days and Mondays.
#            `0 0 * * MON#1`: the first Monday of the month; APScheduler reads as far as MON and runs each Monday,
#            without an error. `30 2 * * *` in the night of 31 October 2027: croniter and APScheduler run it twice.
#            `*/15 2 * * *` in that night: cron-parser runs 4 times, the others 8. In spring the skipped 02:30 becomes
#            03:00 for three of them and 03:30 for two.
# Who:       anybody who checks a line with one library (a validator, a preview in a page) and runs it with another, or
#            moves from one to the next.
set -euo pipefail

command -v npm > /dev/null || { echo "skipped: needs npm (apt-get install npm)"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

npm install --prefix "$tmp" --silent --no-audit --no-fund --ignore-scripts croner@11.0.1 cron-parser@5.10.6
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq cronsim==2.8 croniter==7.0.0 APScheduler==3.11.3 tzdata==2026.6

# Each row: the line, and the span in which to list its runs, from one second before midnight in Berlin.
cat > "$tmp/cases.json" <<'JSON'
[
  ["0 0 */2 * MON", "2026-12-31T22:59:59Z", "2027-01-11T22:59:59Z"],
  ["0 0 * * MON#1", "2026-12-31T22:59:59Z", "2027-01-31T22:59:59Z"],
  ["30 2 * * *", "2027-10-30T21:59:59Z", "2027-10-31T22:59:59Z"],
  ["*/15 2 * * *", "2027-10-30T21:59:59Z", "2027-10-31T22:59:59Z"],
  ["30 2 * * *", "2027-03-27T22:59:59Z", "2027-03-28T21:59:59Z"]
]
JSON
cat > "$tmp/look.py" <<'PY'
import json
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from croniter import croniter
from cronsim import CronSim

BERLIN = ZoneInfo("Europe/Berlin")


def with_cronsim(line, start):
    yield from CronSim(line, start)


def with_croniter(line, start):
    runs = croniter(line, start)
    while True:
        yield runs.get_next(datetime)


def with_apscheduler(line, start):
    trigger, last = CronTrigger.from_crontab(line, BERLIN), None
    while True:
        last = trigger.get_next_fire_time(last, last or start)
        yield last


for row, (line, begin, end) in enumerate(json.load(open(sys.argv[1]))):
    start, until = (datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(BERLIN) for text in (begin, end))
    for library in (with_cronsim, with_croniter, with_apscheduler):
        runs = []
        for run in library(line, start):
            if run.astimezone(timezone.utc) > until.astimezone(timezone.utc):
                break
            runs.append(run.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
        print(json.dumps([row, library.__name__.removeprefix("with_"), runs]))
PY
cat > "$tmp/look.mjs" <<'JS'
import { readFileSync } from "fs";
import { Cron } from "croner";
import { CronExpressionParser } from "cron-parser";

const tz = "Europe/Berlin";
const libraries = {
  *croner(line, start) {
    const cron = new Cron(line, { timezone: tz, paused: true });
    for (let run = start; ; ) yield (run = cron.nextRun(run));
  },
  *"cron-parser"(line, start) {
    const runs = CronExpressionParser.parse(line, { currentDate: start, tz });
    for (;;) yield runs.next().toDate();
  },
};
JSON.parse(readFileSync(process.argv[2])).forEach(([line, begin, end], row) => {
  for (const [name, library] of Object.entries(libraries)) {
    const runs = [];
    for (const run of library(line, new Date(begin))) {
      if (run > new Date(end)) break;
      runs.push(run.toISOString().replace(".000", ""));
    }
    console.log(JSON.stringify([row, name, runs]));
  }
});
JS
cat > "$tmp/show.py" <<'PY'
import json
import sys
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo


def berlin(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(ZoneInfo("Europe/Berlin"))


cases = json.load(open(sys.argv[1]))
found = [json.loads(line) for line in sys.stdin]
for number, (line, begin, _) in enumerate(cases):
    print(f"{line}   from {berlin(begin) + timedelta(seconds=1):%d %B %Y} on")
    for row, name, runs in found:
        if row == number:
            times = [f"{run:%H:%M}" if run.hour else f"{run:%a %d}" for run in map(berlin, runs)]
            print(f"  {name:<12}", *times)
PY

{
  PYTHONTZPATH='' "$tmp/venv/bin/python" "$tmp/look.py" "$tmp/cases.json"
  node "$tmp/look.mjs" "$tmp/cases.json"
} | PYTHONTZPATH='' "$tmp/venv/bin/python" "$tmp/show.py" "$tmp/cases.json" | tee "$tmp/seen"

diff -u - "$tmp/seen" <<'EXPECTED' || { echo "no longer as it was seen"; exit 1; }
0 0 */2 * MON   from 01 January 2027 on
  cronsim      Mon 11
  croniter     Fri 01 Sun 03 Mon 04 Tue 05 Thu 07 Sat 09 Mon 11
  apscheduler  Mon 11
  croner       Fri 01 Sun 03 Mon 04 Tue 05 Thu 07 Sat 09 Mon 11
  cron-parser  Fri 01 Sun 03 Mon 04 Tue 05 Thu 07 Sat 09 Mon 11
0 0 * * MON#1   from 01 January 2027 on
  cronsim      Mon 04
  croniter     Mon 04
  apscheduler  Mon 04 Mon 11 Mon 18 Mon 25
  croner       Mon 04
  cron-parser  Mon 04
30 2 * * *   from 31 October 2027 on
  cronsim      02:30
  croniter     02:30 02:30
  apscheduler  02:30 02:30
  croner       02:30
  cron-parser  02:30
*/15 2 * * *   from 31 October 2027 on
  cronsim      02:00 02:15 02:30 02:45 02:00 02:15 02:30 02:45
  croniter     02:00 02:15 02:30 02:45 02:00 02:15 02:30 02:45
  apscheduler  02:00 02:15 02:30 02:45 02:00 02:15 02:30 02:45
  croner       02:00 02:15 02:30 02:45 02:00 02:15 02:30 02:45
  cron-parser  02:00 02:15 02:30 02:45
30 2 * * *   from 28 March 2027 on
  cronsim      03:00
  croniter     03:00
  apscheduler  03:30
  croner       03:00
  cron-parser  03:30
EXPECTED
echo "as seen on 2026-11-30"
