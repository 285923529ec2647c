// Calls several times with a retry policy, and says how each call ended: grpc_js_retry.cjs ADDRESS KEY

const grpc = require('@grpc/grpc-js');

const [address, key] = process.argv.slice(2);
// Without being told how long to wait, all attempts are made within half a second.
const policy = {
    loadBalancingConfig: [],
    methodConfig: [{
        name: [{}],
        retryPolicy: {
            maxAttempts: 3,
            initialBackoff: '0.1s',
            maxBackoff: '0.1s',
            backoffMultiplier: 1,
            retryableStatusCodes: ['RESOURCE_EXHAUSTED', 'UNAVAILABLE'],
        },
    }],
};
const client = new grpc.Client(address, grpc.credentials.createInsecure(), {
    'grpc.service_config': JSON.stringify(policy),
});
const bytes = value => value;

function call() {
    const metadata = new grpc.Metadata();
    metadata.set('x-api-key', key);
    return new Promise(resolve => {
        client.makeUnaryRequest(
            '/grpc.health.v1.Health/Check', bytes, bytes, Buffer.alloc(0), metadata,
            error => resolve(error ? grpc.status[error.code] : 'OK'));
    });
}

(async () => {
    for (let number = 0; number < 2; number += 1) {
        console.log(await call());
    }
    client.close();
})();
