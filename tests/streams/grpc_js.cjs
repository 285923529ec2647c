// Watches until the call ends, and says with which status: grpc_js.cjs ADDRESS KEY

const grpc = require('@grpc/grpc-js');

const [address, key] = process.argv.slice(2);
const metadata = new grpc.Metadata();
metadata.set('x-api-key', key);
const bytes = value => value;
const client = new grpc.Client(address, grpc.credentials.createInsecure());
const call = client.makeServerStreamRequest(
    '/grpc.health.v1.Health/Watch', bytes, bytes, Buffer.alloc(0), metadata);
let answers = 0;
call.on('data', () => { answers += 1; });
call.on('end', () => {});
call.on('error', error => {
    console.log(answers > 0 ? `${error.code} ${error.details}` : 'no answer');
    process.exit();
});
call.on('status', status => {
    if (status.code === grpc.status.OK) console.log('whole');
});
