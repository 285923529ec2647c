"""Calls several times with a retry policy, and says how each call ended.

Usage: grpcio_retry.py ADDRESS KEY
"""

import json
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ADDRESS, KEY = sys.argv[1:]

# Without being told how long to wait, all attempts are made within half a second.
POLICY = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.1s",
                "maxBackoff": "0.1s",
                "backoffMultiplier": 1,
                "retryableStatusCodes": ["RESOURCE_EXHAUSTED", "UNAVAILABLE"],
            },
        }
    ]
}

with grpc.insecure_channel(
    ADDRESS, options=[("grpc.service_config", json.dumps(POLICY))]
) as channel:
    stub = health_pb2_grpc.HealthStub(channel)
    for _ in range(2):
        try:
            stub.Check(health_pb2.HealthCheckRequest(), metadata=[("x-api-key", KEY)], timeout=60)
            print("OK")
        except grpc.RpcError as error:
            print(error.code().name)
