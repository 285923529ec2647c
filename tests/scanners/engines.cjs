// Finds keys in a text with each flag that changes how an expression is read: reads `[expression, text]` as
// JSON, and writes for each what was found.

const [expression, text] = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));

const found = ['g', 'gu', 'gv'].map(flags => text.match(new RegExp(expression, flags)) ?? []);
console.log(JSON.stringify(found));
