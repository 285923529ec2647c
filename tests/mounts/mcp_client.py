"""What an agent with the SDK for Python sees: mcp_client.py URL AGENT OTHER"""

import asyncio
import contextlib
import json
import sys

import mcp
from mcp.client.streamable_http import streamablehttp_client

URL, AGENT, OTHER = sys.argv[1:]


@contextlib.asynccontextmanager
async def connected(headers):
    async with streamablehttp_client(URL, headers=headers) as (read, write, _):
        async with mcp.ClientSession(read, write) as client:
            await client.initialize()
            yield client


async def text(client, name, arguments):
    result = await client.call_tool(name, arguments)
    return result.content[0].text


def innermost(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def refusal(headers):
    try:
        async with asyncio.timeout(20):
            async with connected(headers):
                return None
    except BaseException as error:
        error = innermost(error)
        response = getattr(error, "response", None)
        return {
            "error": type(error).__name__,
            "message": str(error),
            "challenge": response.headers["www-authenticate"] if response is not None else None,
        }


async def main():
    said = {}
    for headers in [{"x-api-key": AGENT}, {"authorization": f"Bearer {AGENT}"}]:
        async with connected(headers) as client:
            said["tools"] = sorted(tool.name for tool in (await client.list_tools()).tools)
            said["accepted"] = await text(client, "list_bots", {})
            try:
                said["tool"] = await text(client, "restart_bot", {"name": "scout"})
            except mcp.McpError as error:
                said["tool"] = {"code": error.error.code, "message": error.error.message}
            # It goes on.
            said["again"] = await text(client, "list_bots", {})
    said["missing"] = await refusal({})
    said["wrong"] = await refusal({"x-api-key": "wrong"})
    said["lacking"] = await refusal({"x-api-key": OTHER})
    print(json.dumps(said))


asyncio.run(main())
