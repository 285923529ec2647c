#!/usr/bin/env bash
# PostgreSQL 16.2 (pgserver 0.1.4 on PyPI carries the server): `statement_timeout` does not end a commit that waits
# for a synchronous standby. The same session's `pg_sleep` is cancelled after 300 ms; an INSERT that commits by
# itself and a COMMIT wait until the standby comes or the setting goes, and then succeed. The timer is stopped
# before the commit begins.
#
# It matters to services that rely on `statement_timeout` alone to bound each call: when the only synchronous
# standby goes away, every write hangs without an error and keeps its connection until the pool is empty. The
# client needs a time-out of its own, and the row may be there all the same.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
python3 -m venv python
python/bin/python -m pip install --quiet --disable-pip-version-check pgserver==0.1.4 'psycopg[binary]==3.2.3'
cat >run.py <<'PYTHON'
import sys, threading, time

import pgserver, psycopg

server = pgserver.get_server(sys.argv[1])
uri = server.get_uri()
session, other = psycopg.connect(uri, autocommit=True), psycopg.connect(uri, autocommit=True)


def standby(name):
    other.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    other.execute("SELECT pg_reload_conf()")
    time.sleep(1)


def waiting():
    return [query for (query,) in other.execute("SELECT query FROM pg_stat_activity WHERE wait_event = 'SyncRep'")]


def outcome(statement):
    try:
        session.execute(statement)
        return "succeeded"
    except psycopg.errors.QueryCanceled as error:
        return str(error)


session.execute("CREATE TABLE note (text TEXT)")
session.execute("SET statement_timeout = '300ms'")
other.execute("SET synchronous_commit = local")
seen = [("SELECT pg_sleep(20)", outcome("SELECT pg_sleep(20)"), [])]
for before, statement in [(None, "INSERT INTO note VALUES ('a')"), ("BEGIN; INSERT INTO note VALUES ('b')", "COMMIT")]:
    standby("away")
    if before:
        session.execute(before)
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(outcome(statement)))
    thread.start()
    time.sleep(5)
    still = waiting()
    standby("")
    thread.join()
    seen.append((statement, outcomes[0], still))
version = other.execute("SHOW server_version").fetchone()[0]
rows = other.execute("SELECT text FROM note ORDER BY text").fetchall()
session.close(), other.close()
print(f"PostgreSQL {version}, statement_timeout 300ms")
for statement, result, still in seen:
    print(f"{statement}: {result}; after five seconds still waiting: {still}")
sleep, insert, commit = seen
if not (
    version == "16.2"
    and "statement timeout" in sleep[1]
    and all(result == "succeeded" and still == [statement] for statement, result, still in (insert, commit))
    and rows == [("a",), ("b",)]
):
    sys.exit("this has changed: another version, or a statement's time-out that ends the wait of a commit")
PYTHON
python/bin/python -W ignore run.py "$directory/data"
