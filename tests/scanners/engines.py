"""Finds keys in a text, by the engines that Python has.

Reads `[expression, text]` as JSON, and writes for each engine what it found.
"""

import json
import re
import sys

import hyperscan
import re2

EXPRESSION, TEXT = json.load(sys.stdin)


def by_hyperscan():
    database = hyperscan.Database()
    # In bytes. The leftmost start, as for scanners that show where a key is.
    database.compile(
        expressions=[EXPRESSION.encode()], flags=[hyperscan.HS_FLAG_SOM_LEFTMOST]
    )
    data, found = TEXT.encode(), []
    database.scan(
        data,
        match_event_handler=lambda _, start, end, flags, context: found.append(
            data[start:end].decode()
        ),
    )
    return found


json.dump(
    [
        re.findall(EXPRESSION, TEXT, re.ASCII),
        [found.decode() for found in re.findall(EXPRESSION.encode(), TEXT.encode())],
        [found.group() for found in re2.finditer(EXPRESSION, TEXT)],
        by_hyperscan(),
    ],
    sys.stdout,
)
