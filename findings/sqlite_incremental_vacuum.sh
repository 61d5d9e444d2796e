#!/usr/bin/env bash
# From Python, `PRAGMA incremental_vacuum(100)` gives one page back; on Python 3.11 reading the cursor does not help.
#
# Seen:      2026-11-30 with SQLite 3.40.1 in Python 3.10.13, 3.11.7, 3.12.1 and 3.13.0, aiosqlite 0.22.1, SQLAlchemy
#            2.1.9, and SQLite 3.54.1 in apsw 3.54.1.0; each on a file with 500 free pages.
# Guess:     100 pages are given back, and all 500 where no number is given, as in SQLite's own shell.
# Happens:   SQLite frees one page a step and reports each step as a row without columns. `execute` takes the first step
#            and stops: 1 page, with or without a number, no error. `fetchall()` takes the others (it returns a list of
#            empty tuples), except in Python 3.11, where the module drops a statement that has no columns after its
#            first step. `executescript` runs to the end everywhere. aiosqlite and SQLAlchemy do as the module does.
# Who:       anything in Python that prunes a database with auto_vacuum=INCREMENTAL and wonders why the file stays
#            large; and a program whose `fetchall()` was right on 3.10 and 3.12.
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq aiosqlite==0.22.1 SQLAlchemy==2.1.9 apsw==3.54.1.0

cat > "$tmp/freed.py" <<'PY'
import os
import sqlite3
import sys
from contextlib import closing

PATH = os.path.join(sys.argv[1], "look.db")
HUNDRED = "PRAGMA incremental_vacuum(100)"
ALL = "PRAGMA incremental_vacuum"


def free():
    with closing(sqlite3.connect(PATH)) as connection:
        return connection.execute("PRAGMA freelist_count").fetchone()[0]


def freed(title, vacuum):
    if os.path.exists(PATH):
        os.remove(PATH)
    with closing(sqlite3.connect(PATH, isolation_level=None)) as connection:
        connection.executescript("PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE t (x)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?)", [(b"x" * 4000,)] * 500)
        connection.execute("COMMIT")
        connection.execute("DELETE FROM t")
    before = free()
    assert before == 500, before
    vacuum()
    print(f"{title:<45}{before - free():>4} of 500 pages")


def through(connect, act):
    def vacuum():
        with closing(connect(PATH)) as connection:
            act(connection)

    return vacuum
PY
cat > "$tmp/module.py" <<'PY'
import sqlite3

from freed import ALL, HUNDRED, freed, through

freed("sqlite3: execute(100)", through(sqlite3.connect, lambda c: c.execute(HUNDRED)))
freed("sqlite3: execute(no number)", through(sqlite3.connect, lambda c: c.execute(ALL)))
freed("sqlite3: execute(100).fetchall()", through(sqlite3.connect, lambda c: c.execute(HUNDRED).fetchall()))
freed("sqlite3: executescript(100)", through(sqlite3.connect, lambda c: c.executescript(HUNDRED)))
PY
cat > "$tmp/others.py" <<'PY'
import asyncio

import aiosqlite
import apsw
import sqlalchemy
from freed import HUNDRED, PATH, freed, through


async def with_aiosqlite():
    async with aiosqlite.connect(PATH) as connection:
        await connection.execute(HUNDRED)


def with_sqlalchemy():
    engine = sqlalchemy.create_engine(f"sqlite:///{PATH}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(HUNDRED))
    engine.dispose()


freed("aiosqlite: await execute(100)", lambda: asyncio.run(with_aiosqlite()))
freed("SQLAlchemy: execute(text(100))", with_sqlalchemy)
freed("apsw: execute(100)", through(apsw.Connection, lambda c: c.execute(HUNDRED)))
freed("apsw: execute(100).fetchall()", through(apsw.Connection, lambda c: c.execute(HUNDRED).fetchall()))
PY

changed() {
  echo "no longer as it was seen"
  exit 1
}

for python in python3 python3.10 python3.11 python3.12 python3.13 python3.14; do
  version=$("$python" -c 'import platform; print(platform.python_version())' 2> /dev/null) || continue
  echo "Python $version"
  "$python" "$tmp/module.py" "$tmp" | tee "$tmp/seen"
  read_on=100
  case $version in 3.11.*) read_on=1 ;; esac
  diff -u - "$tmp/seen" <<EXPECTED || changed
sqlite3: execute(100)                           1 of 500 pages
sqlite3: execute(no number)                     1 of 500 pages
sqlite3: execute(100).fetchall()             $(printf %4d "$read_on") of 500 pages
sqlite3: executescript(100)                   100 of 500 pages
EXPECTED
done

"$tmp/venv/bin/python" "$tmp/others.py" "$tmp" | tee "$tmp/seen"
diff -u - "$tmp/seen" <<'EXPECTED' || changed
aiosqlite: await execute(100)                   1 of 500 pages
SQLAlchemy: execute(text(100))                  1 of 500 pages
apsw: execute(100)                              1 of 500 pages
apsw: execute(100).fetchall()                 100 of 500 pages
EXPECTED
echo "as seen on 2026-11-30"
