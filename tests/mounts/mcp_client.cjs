// What an agent with the SDK for TypeScript sees: mcp_client.cjs URL AGENT OTHER

const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');

const [url, agent, other] = process.argv.slice(2);

async function told(call) {
    try {
        return await call();
    } catch (error) {
        return { code: error.code, message: error.message };
    }
}

async function connect(headers) {
    const client = new Client({ name: 'test', version: '1' });
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    return client;
}

async function text(client, name, args) {
    const { content } = await client.callTool({ name, arguments: args });
    return content[0].text;
}

async function main() {
    const said = {};
    for (const headers of [{ 'x-api-key': agent }, { authorization: `Bearer ${agent}` }]) {
        const client = await connect(headers);
        said.tools = (await client.listTools()).tools.map(tool => tool.name).sort();
        said.accepted = await text(client, 'list_bots', {});
        said.tool = await told(() => text(client, 'restart_bot', { name: 'scout' }));
        // It goes on.
        said.again = await text(client, 'list_bots', {});
        await client.close();
    }
    said.missing = await told(() => connect({}));
    said.wrong = await told(() => connect({ 'x-api-key': 'wrong' }));
    said.lacking = await told(() => connect({ 'x-api-key': other }));
    console.log(JSON.stringify(said));
    process.exit();
}

main();
