#!/usr/bin/env bash
# On Node.js 20 or later (npm): what a client does when `Retry-After` is longer than the longest wait that it is
# set to. undici 7.30.0's RetryAgent (`maxTimeout`) and ky 1.14.0 (`maxRetryAfter`) wait for the bound and ask
# again, before the time that the server named; got 14.6.0, whose option is also `maxRetryAfter`, does not ask again.
#
# It matters to servers that count refused requests against a limit or block for longer at each of them, and to
# applications that set the bound to fail soon: with undici and ky all tries are used up before the server lets
# anything pass, and the caller waits for nothing. The same option means the opposite in ky and got.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
npm init -y >npm.log
npm install --silent undici@7.30.0 ky@1.14.0 got@14.6.0 >>npm.log
cat >run.mjs <<'JAVASCRIPT'
import { once } from "node:events";
import http from "node:http";
import got from "got";
import ky from "ky";
import { Agent, RetryAgent, request } from "undici";

const arrivals = [];
const server = http.createServer((_, response) => {
  arrivals.push(Date.now());
  response.writeHead(429, { "retry-after": "4" }).end();
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const url = `http://127.0.0.1:${server.address().port}/`;

// Each may try three times in all, and wait for a second at most.
const agent = new RetryAgent(new Agent(), { maxRetries: 2, minTimeout: 100, maxTimeout: 1000 });
const clients = {
  undici: () => request(url, { dispatcher: agent }),
  ky: () => ky(url, { retry: { limit: 2, maxRetryAfter: 1000 } }),
  got: () => got(url, { retry: { limit: 2, maxRetryAfter: 1000 } }),
};
const seen = {};
for (const [name, get] of Object.entries(clients)) {
  arrivals.length = 0;
  await get().then(() => { throw new Error("a 429 that succeeds"); }, () => {});
  seen[name] = arrivals.slice(1).map((time, at) => time - arrivals[at]);
  console.log(`${name}: ${arrivals.length} requests, waits of ${JSON.stringify(seen[name])} ms where 4000 were asked for`);
}
server.close();
const isEarly = (waits) => waits.length === 2 && waits.every((wait) => wait > 900 && wait < 3900);
if (!isEarly(seen.undici) || !isEarly(seen.ky) || seen.got.length !== 0) {
  console.error("this has changed: what a client does beyond its bound");
  process.exit(1);
}
process.exit(0);
JAVASCRIPT
node run.mjs
