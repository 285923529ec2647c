// Reads an answer to its end, and says how that was: fetch.cjs URL KEY

const [url, key] = process.argv.slice(2);

fetch(url, { headers: { 'x-api-key': key } })
    .then(answer => answer.text())
    .then(text => console.log(`whole: ${text.length}`), error => console.log(String(error)));
