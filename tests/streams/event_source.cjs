// Listens to events until the client gives up, and says what was last: event_source.cjs PACKAGE URL KEY

const [name, url, key] = process.argv.slice(2);
let last = 'none';

// Long enough for whoever would ask again.
function close(status) {
    setTimeout(() => {
        console.log(`last event: ${last}; closed: ${status}`);
        process.exit();
    }, 4000);
}

const clients = {
    eventsource() {
        const { EventSource } = require('eventsource');
        const headers = { 'x-api-key': key };
        const events = new EventSource(url, {
            fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }),
        });
        events.addEventListener('end', event => { last = event.data; });
        events.onerror = error => {
            if (events.readyState === EventSource.CLOSED) close(error.code);
        };
    },
    'fetch-event-source'() {
        globalThis.window = globalThis;
        globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
        const { fetchEventSource } = require('@microsoft/fetch-event-source');
        const listen = () => fetchEventSource(url, {
            headers: { 'x-api-key': key },
            fetch,
            async onopen(answer) {
                if (answer.status !== 200) throw answer.status;
            },
            onmessage(event) {
                if (event.event === 'end') last = event.data;
            },
            // By default it stops where a stream ends. Most applications have it go on so.
            onclose() { throw new Error('again'); },
            onerror(error) {
                if (typeof error === 'number') throw error;
                return 100;
            },
        });
        listen().catch(close);
    },
};

clients[name]();
