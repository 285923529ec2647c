//! Cost: what a request takes, what grows with cores and keys, and how to measure it.
//!
//! | question | answer | more |
//! |---|---|---|
//! | What does the layer add to a request? | a SHA-256 and a few hundred nanoseconds; no allocation but those of the request's extensions and of two fields of the response | [a request](#a-request) |
//! | Does it scale over cores? | almost ideally: a thread that sees a key again writes nothing that other threads write | [cores](#cores) |
//! | How much memory do keys need? | 278 bytes a key in a `MemoryStore`, 285 in a `CachedStore` | [memory](#memory) |
//! | And a whole server? | 11 % of the processor time of an axum router that answers at once | [a server](#a-server) |
//! | How soon does another node refuse a revoked key? | within 33 ms in 99 of 100 cases | [revocations](#revocations) |
//! | What grows with the number of keys? | nothing that a request waits for | [management at size](#management-at-size) |
//!
//! Each number stands beside the command that measures it. They are of two virtual cores of an AMD EPYC that
//! other work shares, with Rust 1.95: ratios and counts of instructions hold, single times differ by half from
//! run to run. Measure on a machine of yours before you rely on one.
//!
//! # A request
//!
//! `benches/instructions/run` counts the instructions of a request, the same from run to run and without those
//! of SHA-256, for which valgrind has no hardware, and fails if one takes 3 % more than
//! `benches/instructions/counts.txt` says, where all of them are. `cargo bench -p tower-api-key-benches
//! --bench request --bench ratios` measures times. The store is in memory, the key has 49 bytes, and the request has a host, an
//! accept and a user-agent. (2026-11-29 and, for times, 2026-11-21, before threads kept keys.)
//!
//! | | instructions | time |
//! |---|---|---|
//! | SHA-256 of the key | | 58 ns |
//! | the first insert into a request's extensions | | 57 ns |
//! | a service that answers at once | 1155 | 128 ns |
//! | … behind the layer, accepted by `x-api-key` | 4427 | 473 ns |
//! | … accepted by `Authorization: Bearer` | 4541 | 408 ns |
//! | … from a `CachedStore` | 4552 | |
//! | … from a store that is asked in a future | 7075 | 657 ns |
//! | … with `RequireAbility` | 5069 | 520 ns |
//! | … with a rate limit | 7095 | 170 ns more |
//! | … with a policy of a hundred routes | 6248 | 86 ns more |
//! | … with [metrics](crate::Metrics) | 4821 | 30 ns more |
//! | … with [usage](crate::UsageRecorder) | 4836 | 60 ns more |
//! | … by hand, with all that the layer promises | 4148 | |
//! | refused: no key, malformed, unknown | 3528, 3900, 4321 | 292, 348, 424 ns |
//! | an axum route | 5040 | 460 ns |
//! | … behind the layer | 10112 | 1004 ns |
//! | … behind what people write by hand (`from_fn`, hex, `RwLock<HashMap>`) | | 1128 ns |
//! | tower-http's check of one static value | | 170 ns |
//!
//! A part of what accepting a key adds are `Cache-Control` and `Vary`, for which the bare response of the
//! benchmark allocates a map. `tests/allocations.rs` bounds what is allocated: nothing but for the insert and for
//! these fields. The first two requests of a thread with a key allocate for what the thread keeps of it.
//!
//! A thread keeps up to 256 keys of each layer in front of the store, each for as long as the store says that
//! what it answered [still holds](crate::KeyStore::still_holds). So most requests see neither the map of a
//! `MemoryStore` nor that of a `CachedStore`. What a `CachedStore` adds to a `MemoryStore` is then a look at
//! the clock, since what it knows has an age, and whether it hears of changes: some 125 instructions, and 13 to
//! 29 ns, of which 22 are the system's clock (`clock_gettime`, measured alone). The usage of keys looks at the
//! clock, too, and that is another one: a date, and not an age. `cargo bench -p tower-api-key-benches --bench ratios
//! -- parts` measures what a cache, usage and metrics add, in turn with a request without them (2026-11-29).
//!
//! What is left of a request with a limit is mostly the four fields that tell of it and of caches, which are put
//! into a map (some 1000 instructions), their text (350), the levels of the limiter (600) and its clock (150).
//!
//! # Cores
//!
//! `cargo bench -p tower-api-key-benches --bench threads` puts requests through one layer on one thread and on
//! two: with a key of its own each, two do 2.00 times as much as one, and with the same key in both 1.98 times
//! (2026-11-29; before threads kept keys, 1.4 times). `cargo bench -p tower-api-key-benches --bench scaling` asks stores and
//! limiters past the layer: two threads look up keys of their own among a million 2.0 times as fast as one and
//! limit them 1.8 times as fast, and the *same* key 0.6 and 0.4 times as fast, since they wait for its count of
//! references and its lock (2026-11-21).
//!
//! # Memory
//!
//! `cargo bench -p tower-api-key-benches --bench scaling` counts what is asked of the allocator for a million keys with an id, a name, a
//! tenant that has a hundred of them and one of eight sets of three abilities, with all by which they are found
//! and listed (2026-11-29; `-- memory 10000000` counts ten million; before, a key took 764 bytes):
//!
//! | | bytes a key |
//! |---|---|
//! | [`MemoryStore`](crate::MemoryStore) | 278 |
//! | … of ten million | 265 |
//! | [`CachedStore`](crate::store::CachedStore), loaded from another store | 285 |
//! | [`MemoryRateLimiter`](crate::MemoryRateLimiter), a key that is limited and in use | 133 (2026-11-21) |
//!
//! A record takes 216 bytes: ids, hints and names of up to 31, 15 and 23 bytes are in it, and longer ones take an
//! allocation each. Tenants and sets of abilities are kept once for all keys of a store, and so are who issued
//! keys, stages and limits. Keys with restrictions, a successor, a date of rotation or metadata take one or two
//! allocations more. The three orders of a `MemoryStore`, by id, age and tenant, take 8 to 9 bytes a key
//! each, and the table by digest 18 to 36.
//! The bound of a `CachedStore` by [bytes](crate::store::CachedStoreBuilder::max_bytes) is on the safe side:
//! what records share counts for each of them.
//!
//! # A server
//!
//! `tests/servers cargo bench -p tower-api-key-benches --bench serve` loads servers of one thread each with `wrk`, over
//! HTTP/1.1 and sixteen connections that are kept, in turn. It prints the time of a processor that a request
//! takes, its ratio to that of the same axum router without a layer, and latencies. Beside them are a
//! hand-written middleware, nginx that finds a static key in a `map`, and nginx that asks a server with the layer
//! by `auth_request`, both in front of the bare router. A run of 7 rounds of 2 seconds, on a machine that had
//! other work to do (2026-11-29; latencies are those of 16 requests at once on such a machine):
//!
//! | server | µs of a processor a request | ratio (lowest, highest) | p50 | p99 |
//! |---|---|---|---|---|
//! | bare | 7.65 | | 196 µs | 3.7 ms |
//! | a hand-written middleware | 8.30 | 1.10 (1.08, 1.18) | 212 µs | 5.0 ms |
//! | the layer, keys in memory | 8.48 | 1.11 (1.09, 1.16) | 218 µs | 6.5 ms |
//! | the layer, cached PostgreSQL, last uses | 8.79 | 1.16 (1.07, 1.17) | 235 µs | 2.8 ms |
//! | the same, and a rate limit | 9.27 | 1.20 (1.11, 1.26) | 236 µs | 3.4 ms |
//! | nginx in front of bare | 26.91 | | 506 µs | 4.6 ms |
//! | … with a static key in a `map` | 27.65 | 1.00 (0.99, 1.15) of nginx | 491 µs | 3.3 ms |
//! | … with `auth_request` to the layer | 47.49 | 1.82 (1.72, 2.04) of nginx | 799 µs | 4.1 ms |
//!
//! # Revocations
//!
//! `tests/servers cargo run -p tower-api-key-examples --example cluster` puts a thousand requests a second through
//! two nodes with a cached PostgreSQL, in a debug build with clients, nodes and database on the same two cores. Of
//! 1000 revocations, the other node's first refusal came back after 10 ms (p50), 33 ms (p99) and 154 ms (max);
//! while the connections on which the nodes hear of changes were killed 628 times, after 7, 29 and 43 ms.
//!
//! The same with `--release` and `-- streams`: of 10 000 open streams of 1000 keys, those whose key was revoked on
//! the other node ended after 0.5 ms (p50), 24 ms (p99) and 116 ms (max), where the next request was refused after
//! 0.6, 24 and 116 ms. While those connections were killed 4430 times, no end was missed: they came after 0.4 s
//! (p50) and 0.9 s (max), where requests were refused after 1 and 54 ms. A request asks the store itself then;
//! for all open streams together it is asked twenty times a second at most. One key with 10 000 streams had none
//! left after 94 ms (2026-11-29).
//!
//! # Management at size
//!
//! `tests/servers cargo bench -p tower-api-key-benches --bench growth -- 10000 100000 1000000` prints what look-ups, pages
//! of lists by each filter, and changes take with so many keys in each store, and what a look-up takes while 60
//! lists run. Look-ups, changes and pages are found by indexes; a page visits a bounded number of records where a
//! filter has none. `tests/servers cargo bench -p tower-api-key-benches --bench batches -- 2000` prints what batches save:
//! keys that are issued and pruned one a transaction, and many. `tests/servers cargo bench -p tower-api-key-benches --bench cache` prints
//! what a miss takes that asks a database: 92 µs with SQLite and 141 µs with PostgreSQL over a local socket
//! (2026-11-21).
//!
//! # What others publish
//!
//! Figures of the vendors, on machines of theirs: they compare with themselves, not with those above.
//!
//! | | figure | source |
//! |---|---|---|
//! | Kong Gateway | 127 257 requests a second with no plugin, 112 026 with a rate limit, 97 208 with a rate limit and key-auth (one route, one consumer, HTTPS): key-auth costs 13 % of the throughput, and p99 goes from 8.38 to 9.10 ms | [developer.konghq.com/gateway/performance/benchmarks](https://developer.konghq.com/gateway/performance/benchmarks), read on 2026-11-29 |
//! | Unkey | revocations are seen after 0, 30 or 60 s, as its pages say in different places | its documentation, read on 2026-11-21 |
//! | djangorestframework-api-key | 350 to 460 ms a request for a slow hash of the key, until its version 3.0 | its issues, read on 2026-11-21 |
