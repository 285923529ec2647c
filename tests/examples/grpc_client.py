"""Calls the example `grpc` as a client of another language does.

Usage: grpc_client.py ADDRESS ADDRESS_WITHOUT_STORE CHECKER WATCHER NONE
"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ADDRESS, WITHOUT_STORE, CHECKER, WATCHER, NONE = sys.argv[1:]
SERVING = health_pb2.HealthCheckResponse.SERVING
REQUEST = health_pb2.HealthCheckRequest()


def answer(address, method, key):
    """Returns the status of the service, or the code and the message of the refusal."""
    metadata = [("x-api-key", key)] if key else []
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            if method == "Watch":
                return next(stub.Watch(REQUEST, metadata=metadata, timeout=10)).status
            return stub.Check(REQUEST, metadata=metadata, timeout=10).status
        except grpc.RpcError as error:
            return error.code().name, error.details()


EXPECTED = [
    (ADDRESS, "Check", CHECKER, SERVING),
    (ADDRESS, "Watch", WATCHER, SERVING),
    (ADDRESS, "Watch", CHECKER, ("PERMISSION_DENIED", "Missing ability: health:watch")),
    (ADDRESS, "Check", NONE, ("PERMISSION_DENIED", "Missing ability: health:check")),
    (ADDRESS, "Check", None, ("UNAUTHENTICATED", "An API key is required")),
    (ADDRESS, "Watch", None, ("UNAUTHENTICATED", "An API key is required")),
    (ADDRESS, "Check", "ak_nobody", ("UNAUTHENTICATED", "The API key is not valid")),
    (
        WITHOUT_STORE,
        "Check",
        CHECKER,
        ("UNAVAILABLE", "API keys cannot be verified at the moment"),
    ),
]

for address, method, key, expected in EXPECTED:
    found = answer(address, method, key)
    assert found == expected, f"{method}: {found}, not {expected}"
print(len(EXPECTED), "answers as expected")
