// Uploads with a wrong key by fetch, and prints what is answered.
//
// Usage: client.mjs URL SIZE…

const [url, ...sizes] = process.argv.slice(2);

// Gives a body whose length is not told beforehand.
async function* parts(size) {
  for (let start = 0; start < size; start += 65536) {
    yield new Uint8Array(Math.min(65536, size - start));
  }
}

for (const size of sizes.map(Number)) {
  for (const [framing, body] of [["length", new Uint8Array(size)], ["chunked", parts(size)]]) {
    const headers = { "x-api-key": "wrong" };
    const answer = await fetch(url, { method: "POST", headers, body, duplex: "half" });
    console.log(size, framing, answer.status, (await answer.json()).detail);
  }
}
