"""Reads messages, and connects again whenever the socket closes, until it may not any more.

Usage: websockets_client.py URL KEY
"""

import asyncio
import sys

import websockets
from websockets.asyncio.client import connect

URL, KEY = sys.argv[1:]


async def main():
    said = "nothing"
    try:
        # Connects again for ever, but after refusals that are not temporary.
        async for socket in connect(URL, subprotocols=["realtime", f"key.{KEY}"]):
            try:
                await socket.recv()
                while True:
                    await socket.recv()
            except websockets.ConnectionClosed as closed:
                said = f"{socket.subprotocol}; closed: {closed.rcvd.code} {closed.rcvd.reason}"
    except websockets.InvalidStatus as refused:
        print(f"{said}; then refused: {refused.response.status_code}")


asyncio.run(asyncio.wait_for(main(), 30))
