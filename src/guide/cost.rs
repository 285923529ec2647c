//! Cost: what a request takes, how it scales with cores and keys, and how to measure it.
//!
//! | question | answer | more |
//! |---|---|---|
//! | What does the layer add to a request? | a SHA-256 and a few hundred nanoseconds; no allocation but those of the request's extensions and of two response headers | [a request](#a-request) |
//! | Does it scale over cores? | almost ideally: a thread that sees a key again writes nothing that other threads write | [cores](#cores) |
//! | How much memory do keys need? | 278 bytes a key in a `MemoryStore`, 285 in a `CachedStore` | [memory](#memory) |
//! | And a whole server? | 8 % of the processor time of an axum router that answers at once | [a server](#a-server) |
//! | How soon does another node refuse a revoked key? | within 33 ms in 99 of 100 cases | [revocations](#revocations) |
//! | What grows with the number of keys? | nothing that a request waits for | [management at size](#management-at-size) |
//!
//! Each number has the command that measures it. They were measured on two virtual cores of an AMD EPYC
//! that other work shares, with Rust 1.95: ratios and counts of instructions are stable, single times
//! differ by half from run to run. Measure on your own machine before you rely on one.
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
//! | … behind the layer, accepted by `x-api-key` | 4376 | 473 ns |
//! | … accepted by `Authorization: Bearer` | 4503 | 408 ns |
//! | … from a `CachedStore` | 4495 | |
//! | … from a store that is asked in a future | 7027 | 657 ns |
//! | … with `RequireAbility` | 5019 | 520 ns |
//! | … with a rate limit | 6611 | 170 ns more |
//! | … with a policy of a hundred routes | 6195 | 86 ns more |
//! | … with [metrics](crate::Metrics) | 4761 | 30 ns more |
//! | … with [usage](crate::UsageRecorder) | 4775 | 30 ns more |
//! | … by hand, with all that the layer promises | 4148 | |
//! | refused: no key, malformed, unknown | 3476, 3844, 4266 | 292, 348, 424 ns |
//! | an axum route | 5040 | 460 ns |
//! | … behind the layer | 10079 | 1004 ns |
//! | … behind what people write by hand (`from_fn`, hex, `RwLock<HashMap>`) | | 1128 ns |
//! | tower-http's check of one static value | | 170 ns |
//!
//! `cargo bench -p tower-api-key-benches --bench ratios -- by-hand` measures the layer in turn with what is
//! written by hand: over bare, it takes 1.17 times as long as a concrete service that does all that the
//! layer promises (by Bearer 1.13), and in axum 0.75 of the `from_fn` (2026-11-29).
//!
//! A part of the cost of an accepted key is `Cache-Control` and `Vary`, for which the bare response of
//! the benchmark allocates a map. `tests/allocations.rs` bounds the allocations: only those of the
//! insert and of these headers. The first two requests of a thread with a key also allocate what the
//! thread keeps of it.
//!
//! A thread keeps up to 256 keys of each layer in front of the store, each as long as the store says
//! that its record [still holds](crate::KeyStore::still_holds). So most requests use neither the map of
//! a `MemoryStore` nor that of a `CachedStore`. Compared with a `MemoryStore`, a `CachedStore` then
//! only checks the age of its record and whether its subscription is alive, by the clock: some 120
//! instructions, and 1 to 6 ns. It and usage read the clock as of its last tick, some milliseconds ago,
//! which Linux tells in a fourth of the time; what does not hold half a second later is judged by the
//! exact one. `cargo bench -p tower-api-key-benches --bench ratios -- parts` measures what a cache, usage
//! and metrics add, in turn with requests without them (2026-11-29).
//!
//! A request with a limit gets a copy of four fields for it and for caches, of which two are set (some 500
//! instructions), formats one of them (350), changes the levels of the limiter (600) and reads its clock
//! (150).
//!
//! # Cores
//!
//! `cargo bench -p tower-api-key-benches --bench threads` sends requests through one layer on one
//! thread and on two: two threads with a key each do 1.99 times as much as one, and two threads with
//! the same key 1.97 times (2026-11-29; before threads kept keys, 1.4 times). `cargo bench -p
//! tower-api-key-benches --bench scaling` calls stores and limiters without the layer: two threads look
//! up different keys among a million 2.0 times as fast as one, and limit them 1.8 times as fast. With
//! the *same* key they are 0.6 and 0.4 times as fast, because they contend for its reference count and
//! its lock (2026-11-21).
//!
//! # Memory
//!
//! `cargo bench -p tower-api-key-benches --bench scaling` counts the allocated bytes of a million keys,
//! each with an id, a name, a tenant with a hundred keys, and one of eight sets of three abilities,
//! including all indexes (2026-11-29; `-- memory 10000000` counts ten million; before, a key took 764
//! bytes):
//!
//! | | bytes a key |
//! |---|---|
//! | [`MemoryStore`](crate::MemoryStore) | 278 |
//! | … of ten million | 265 |
//! | [`CachedStore`](crate::store::CachedStore), loaded from another store | 285 |
//! | [`MemoryRateLimiter`](crate::MemoryRateLimiter), a key that is limited and in use | 133 (2026-11-21) |
//!
//! A record takes 216 bytes. Ids, hints and names of up to 31, 15 and 23 bytes are stored in it, and
//! longer ones take an allocation each. Tenants, sets of abilities, issuers, stages and limits are
//! stored once for all keys of a store. Keys with restrictions, a successor, a date of rotation or
//! metadata take one or two more allocations. The three orders of a `MemoryStore`, by id, age and
//! tenant, take 8 to 9 bytes a key each, and the table by digest 18 to 36.
//! The bound of a `CachedStore` by [bytes](crate::store::CachedStoreBuilder::max_bytes) overestimates:
//! shared parts count for each record.
//!
//! # A server
//!
//! `tests/servers cargo bench -p tower-api-key-benches --bench serve` loads servers of one thread each
//! with `wrk`, one after the other, over HTTP/1.1 and sixteen persistent connections. It prints the
//! processor time of a request, its ratio to that of the same axum router without a layer, and
//! latencies. For comparison it runs a hand-written middleware, nginx with a static key in a `map`, and
//! nginx that asks a server with the layer by `auth_request`, both in front of the bare router. A run
//! of 7 rounds of 2 seconds (2026-11-29; latencies are those of 16 concurrent requests, with the clients on
//! the same two cores):
//!
//! | server | µs of a processor a request | ratio (lowest, highest) | p50 | p99 |
//! |---|---|---|---|---|
//! | bare | 7.43 | | 108 µs | 0.3 ms |
//! | a hand-written middleware | 8.39 | 1.10 (0.98, 1.19) | 125 µs | 0.5 ms |
//! | the layer, keys in memory | 8.12 | 1.08 (0.93, 1.17) | 125 µs | 0.3 ms |
//! | the layer, cached PostgreSQL, last uses | 8.26 | 1.10 (0.89, 1.17) | 126 µs | 0.8 ms |
//! | the same, and a rate limit | 8.57 | 1.14 (0.97, 1.18) | 131 µs | 0.4 ms |
//! | nginx in front of bare | 23.90 | | 220 µs | 1.0 ms |
//! | … with a static key in a `map` | 23.85 | 1.01 (0.97, 1.06) of nginx | 222 µs | 1.7 ms |
//! | … with `auth_request` to the layer | 44.78 | 1.94 (1.74, 2.02) of nginx | 475 µs | 1.2 ms |
//!
//! # Revocations
//!
//! `tests/servers cargo run -p tower-api-key-examples --example cluster` sends a thousand requests a
//! second through two nodes with a cached PostgreSQL, in a debug build with clients, nodes and database
//! on the same two cores. After 1000 revocations, the other node's first refusal came after 10 ms
//! (p50), 33 ms (p99) and 154 ms (max). While the nodes' notification connections were killed 628
//! times, it came after 7, 29 and 43 ms.
//!
//! The same with `--release` and `-- streams`: of 10 000 open streams of 1000 keys, those whose key was
//! revoked on the other node ended after 0.5 ms (p50), 24 ms (p99) and 116 ms (max); the next request
//! was refused after 0.6, 24 and 116 ms. While those connections were killed 4430 times, no end was
//! missed: the streams ended after 0.4 s (p50) and 0.9 s (max), and requests were refused after 1 and
//! 54 ms. A request then asks the store itself; for all open streams together the store is asked at
//! most twenty times a second. One key with 10 000 streams had none left after 94 ms (2026-11-29).
//!
//! # Management at size
//!
//! `tests/servers cargo bench -p tower-api-key-benches --bench growth -- 10000 100000 1000000` prints
//! the times of look-ups, of pages of lists by each filter, and of changes with so many keys in each
//! store, and of a look-up while 60 lists run. Look-ups, changes and pages use indexes; a page visits a
//! bounded number of records if a filter has no index. `tests/servers cargo bench -p
//! tower-api-key-benches --bench batches -- 2000` prints what batches save: keys that are issued and
//! pruned one per transaction, and many. `tests/servers cargo bench -p tower-api-key-benches --bench
//! cache` prints the cost of a miss that asks a database: 92 µs with SQLite and 141 µs with PostgreSQL
//! over a local socket (2026-11-21).
//!
//! # What others publish
//!
//! Figures of the vendors, on their machines: compare them with each other, not with those above.
//!
//! | | figure | source |
//! |---|---|---|
//! | Kong Gateway | 127 257 requests a second with no plugin, 112 026 with a rate limit, 97 208 with a rate limit and key-auth (one route, one consumer, HTTPS): key-auth costs 13 % of the throughput, and p99 goes from 8.38 to 9.10 ms | [developer.konghq.com/gateway/performance/benchmarks](https://developer.konghq.com/gateway/performance/benchmarks), read on 2026-11-29 |
//! | Unkey | revocations are seen after 0, 30 or 60 s, as its pages say in different places | its documentation, read on 2026-11-21 |
//! | djangorestframework-api-key | 350 to 460 ms a request for a slow hash of the key, until its version 3.0 | its issues, read on 2026-11-21 |
