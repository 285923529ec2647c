#!/usr/bin/env bash
# Python's MCP SDK 1.30.0 (`mcp` on PyPI): a server that has forgotten a session answers 404, and "when a
# client receives HTTP 404 in response to a request containing an Mcp-Session-Id, it MUST start a new session
# by sending a new InitializeRequest" (MCP 2025-06-18, Streamable HTTP). The SDK does not: the call ends with
# `McpError: Session terminated`, and so does every later call of the same `ClientSession`.
#
# It matters to servers that bound or restart their sessions, and to applications, which have to catch the
# error and open transport and session again.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
python3 -m venv python
python/bin/python -m pip install --quiet --disable-pip-version-check mcp==1.30.0
python/bin/python - <<'PYTHON'
import asyncio, json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.exceptions import McpError

asked = []


class Server(BaseHTTPRequestHandler):
    """Opens a session, and has forgotten it at once."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(405)

    do_DELETE = do_GET

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked.append(message["method"])
        if message["method"] == "initialize":
            result = {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "forgetful", "version": "1"},
            }
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
            self.answer(200, body, content_type="application/json", mcp_session_id="one")
        elif message["method"].startswith("notifications/"):
            self.answer(202)
        else:
            self.answer(404)


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()


async def main():
    ends = []
    async with streamablehttp_client(f"http://127.0.0.1:{server.server_port}/mcp") as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            for _ in range(2):
                try:
                    await asyncio.wait_for(session.list_tools(), 20)
                    ends.append("an answer")
                except McpError as error:
                    ends.append(str(error))
    print(f"mcp {version('mcp')}: {ends}; asked: {asked}")
    if ends != ["Session terminated"] * 2 or asked.count("initialize") != 1:
        sys.exit("this has changed: the client went on, or opened another session")


asyncio.run(main())
PYTHON
