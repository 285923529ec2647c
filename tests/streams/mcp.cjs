// Opens a session, tries it with another key, and calls a tool until the key ends: mcp.cjs URL KEY OTHER

const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { LoggingMessageNotificationSchema } = require('@modelcontextprotocol/sdk/types.js');

const [url, key, other] = process.argv.slice(2);

function transport(key, sessionId) {
    const requestInit = { headers: { 'x-api-key': key } };
    return new StreamableHTTPClientTransport(new URL(url), { requestInit, sessionId });
}

function client() {
    return new Client({ name: 'test', version: '1' });
}

async function failure(call) {
    try {
        await call;
        return 'none';
    } catch (error) {
        return error.code ?? error.message;
    }
}

async function main() {
    const said = { told: [], errors: [] };
    const owner = client();
    owner.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
        said.told.push(params.data);
    });
    const session = transport(key);
    await owner.connect(session);
    await owner.ping();

    // A client that has an id believes that the session is its own.
    const thief = client();
    await thief.connect(transport(other, session.sessionId));
    said.other = await failure(thief.ping());

    owner.onerror = error => said.errors.push(error.message);
    said.call = await failure(owner.callTool({ name: 'wait' }, undefined, { timeout: 6000 }));
    said.next = await failure(owner.ping());
    console.log(JSON.stringify(said));
    process.exit();
}

main();
