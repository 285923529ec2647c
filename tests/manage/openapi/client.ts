// A client by what openapi-typescript makes of the document: client.js URL KEY

import createClient from 'openapi-fetch';
import type { paths } from './schema.js';

declare const process: { argv: string[] };

const [url, key] = process.argv.slice(2);

function clientWith(key: string) {
    return createClient<paths>({ baseUrl: url, headers: { 'x-api-key': key } });
}

function present<T>(answer: { data?: T; error?: unknown }): T {
    if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
    return answer.data;
}

async function main() {
    const client = clientWith(key);
    const body = { name: 'Production Key', abilities: ['bots:read'] };
    const issued = present(await client.POST('/api-keys', { body })).data;
    const listed = present(
        await client.GET('/api-keys', { params: { query: { limit: 10, state: 'active' } } }),
    );
    const successor = present(
        await client.POST('/api-keys/{key_id}/rotate', {
            params: { path: { key_id: issued.id } },
            body: { grace_seconds: 60 },
        }),
    ).data;
    const params = { path: { key_id: successor.id } };
    const revoked = present(await client.DELETE('/api-keys/{key_id}', { params }));
    const shown = present(await client.GET('/api-keys/{key_id}', { params }));
    const wrong = await client.POST('/api-keys', { body: { name: '' } });
    const stranger = await clientWith('wrong').GET('/api-keys');

    console.log(
        JSON.stringify({
            issued: { name: issued.name, abilities: issued.abilities, begins: issued.secret.slice(0, 8) },
            listed: listed.data.map(key => key.id).includes(issued.id),
            is_another: successor.id !== issued.id && successor.secret !== issued.secret,
            revoked: revoked.success,
            state: shown.data.state,
            wrong: [
                wrong.response.status,
                wrong.error?.field,
                wrong.error?.errors?.map(error => error.field),
            ],
            stranger: stranger.response.status,
        }),
    );
}

// What the types have to refuse. It is not called.
export async function refused() {
    const client = clientWith(key);
    // @ts-expect-error: a key has a name
    await client.POST('/api-keys', { body: { abilities: [] } });
    // @ts-expect-error: there may be several abilities
    await client.POST('/api-keys', { body: { name: 'Production Key', abilities: 'bots:read' } });
    // @ts-expect-error: the secret is in the answer to the request that made it, and in no other
    present(await client.GET('/api-keys')).data[0].secret;
    // @ts-expect-error: there is no such state
    await client.GET('/api-keys', { params: { query: { state: 'gone' } } });
}

main();
