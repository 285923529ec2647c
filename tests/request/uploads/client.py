"""Uploads with a wrong key by requests, and prints what is answered.

Usage: client.py URL SIZE…
"""

import sys

import requests


def parts(size):
    """Gives a body whose length is not told beforehand."""
    for start in range(0, size, 65536):
        yield bytes(min(65536, size - start))


url, sizes = sys.argv[1], [int(size) for size in sys.argv[2:]]
with requests.Session() as session:
    session.headers["x-api-key"] = "wrong"
    for size in sizes:
        for framing, body in [("length", bytes(size)), ("chunked", parts(size))]:
            answer = session.post(url, data=body)
            print(size, framing, answer.status_code, answer.json()["detail"])
