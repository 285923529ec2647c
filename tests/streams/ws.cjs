// Reads messages until the socket closes, opens another, and says what happened: ws.cjs URL KEY

const WebSocket = require('ws');

const [url, key] = process.argv.slice(2);
const open = () => new WebSocket(url, ['realtime', `key.${key}`]);

const socket = open();
let messages = 0;
socket.on('message', () => { messages += 1; });
socket.on('error', error => console.log(`error: ${error.message}`));
socket.on('close', (code, reason) => {
    const said = `${socket.protocol}; messages: ${messages > 0}; closed: ${code} ${reason}`;
    const again = open();
    again.on('open', () => console.log(`${said}; opened again`));
    again.on('error', () => {});
    again.on('unexpected-response', (request, answer) => {
        console.log(`${said}; then refused: ${answer.statusCode}`);
        process.exit();
    });
});
