#!/usr/bin/env bash
# SQLite 3.54.1, as in apsw 3.54.1.0 (PyPI), on Python 3.10 or later. An index of (coalesce(a, 0), id) serves
# `coalesce(a, 0) > ?` and the order by both, but the comparison of row values
# `(coalesce(a, 0), id) > (?, ?)` does not seek in it: every entry before the place is read and thrown away.
# Over a generated column that says the same, the index is sought in.
#
# It matters to lists in pages whose cursor is a row value, in an order that an expression makes (nulls last,
# text without case, a field of JSON): the results are right, the index is used by the plan, and the last page
# costs as much as all pages before it.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
python3 -m venv python
python/bin/python -m pip install --quiet --disable-pip-version-check apsw==3.54.1.0
cat >run.py <<'PYTHON'
import apsw

database = apsw.Connection(":memory:")
database.execute("""
    CREATE TABLE note (a INTEGER, id TEXT NOT NULL, b INTEGER AS (coalesce(a, 0)) VIRTUAL);
    CREATE INDEX of_expression ON note (coalesce(a, 0), id);
    CREATE INDEX of_generated ON note (b, id);
""")
with database:
    rows = ((7, f"{number:06}") for number in range(20_000))
    database.executemany("INSERT INTO note (a, id) VALUES (?, ?)", rows)


def last_page(column, index):
    """Prints how the last ten rows are found, in how many steps of SQLite's virtual machine."""
    query = f"""SELECT id FROM note INDEXED BY {index} WHERE ({column}, id) > (7, '019989')
                ORDER BY {column}, id LIMIT 10"""
    steps = 0

    def step():
        nonlocal steps
        steps += 1
        return False

    plan = [row[3] for row in database.execute("EXPLAIN QUERY PLAN " + query)]
    database.set_progress_handler(step, 1)
    found = [row[0] for row in database.execute(query)]
    database.set_progress_handler(None)
    assert found == [f"{number:06}" for number in range(19_990, 20_000)]
    print(f"({column}, id): {plan[0]}, {steps} steps")


print("SQLite", apsw.sqlite_lib_version())
last_page("coalesce(a, 0)", "of_expression")
last_page("b", "of_generated")
PYTHON
seen=$(python/bin/python run.py)
echo "$seen"
scanned='coalesce\(a, 0\), id\): SCAN note USING COVERING INDEX of_expression, [0-9]{6} steps'
sought='\(b, id\): SEARCH note USING INDEX of_generated \(\(b,id\)>\(\?,\?\)\), [0-9]{2,3} steps'
if ! [[ $seen =~ $scanned && $seen =~ $sought ]]; then
    echo "SQLite does something else now" >&2
    exit 1
fi
