#!/usr/bin/env bash
# @microsoft/fetch-event-source 2.0.1 beside eventsource 4.1.1 (npm), on Node 18 or later: the HTML standard
# has an `EventSource` connect again when the response ends (section 9.2.3, "reestablish the connection").
# `eventsource` does. `fetchEventSource`, which says that it is "a better API for making Event Source
# requests" resolves its promise: it does not ask again after a clean end, but does after a broken one.
#
# It matters to servers that end streams in good order, as at a deployment or after a time: clients of the one
# kind are back a moment later, and clients of the other are gone without an error.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm install --silent --no-audit --no-fund @microsoft/fetch-event-source@2.0.1 eventsource@4.1.1
cat >run.cjs <<'NODE'
const http = require('node:http');
const { EventSource } = require('eventsource');
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = require('@microsoft/fetch-event-source');

const asked = {};
const server = http.createServer((request, response) => {
    asked[request.url] = (asked[request.url] ?? 0) + 1;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('retry: 200\ndata: one\n\n', () => {
        if (request.url.endsWith('/clean')) response.end();
        else setTimeout(() => response.destroy(), 50);
    });
});
server.listen(0, '127.0.0.1', async () => {
    const url = `http://127.0.0.1:${server.address().port}`;
    const events = ['clean', 'broken'].map(end => new EventSource(`${url}/eventsource/${end}`));
    let resolved = false;
    fetchEventSource(`${url}/fetch/clean`, { fetch }).then(() => { resolved = true; });
    fetchEventSource(`${url}/fetch/broken`, { fetch, onerror: () => 200 });
    await new Promise(done => setTimeout(done, 4000));
    events.forEach(source => source.close());
    console.log(`requests in 4 seconds: ${JSON.stringify(asked)}; fetchEventSource resolved: ${resolved}`);
    const often = name => asked[name] >= 3;
    const holds = asked['/fetch/clean'] === 1 && resolved && often('/eventsource/clean')
        && often('/eventsource/broken') && often('/fetch/broken');
    process.exit(holds ? 0 : 1);
});
NODE
node run.cjs
