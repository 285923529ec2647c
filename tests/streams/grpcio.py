"""Watches until the call ends, and says with which status.

Usage: grpcio.py ADDRESS KEY
"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ADDRESS, KEY = sys.argv[1:]

with grpc.insecure_channel(ADDRESS) as channel:
    stub = health_pb2_grpc.HealthStub(channel)
    answers = stub.Watch(
        health_pb2.HealthCheckRequest(), metadata=[("x-api-key", KEY)], timeout=20
    )
    next(answers)
    try:
        print("whole:", list(answers))
    except grpc.RpcError as error:
        print(error.code().name, error.details())
