//! Compared: other ways to check API keys. Facts of November 2026, each with its source, without a
//! judgement.
//!
//! | | what it is | differs in | source |
//! |---|---|---|---|
//! | tower-http 0.7, `ValidateRequestHeaderLayer` | a check of one header against one value | no store; `bearer` and `basic` are deprecated since 0.6.7 as "too basic to be useful in real applications" | [documentation](https://docs.rs/tower-http/0.7.0/tower_http/validate_request/struct.ValidateRequestHeaderLayer.html) |
//! | apikeys-rs 0.1 | API keys for axum 0.7, in MongoDB or memory, limits in Redis | calls the inner service before it decides; a failing store is "invalid key" | [its source](https://docs.rs/crate/apikeys-rs/latest/source/README.md) |
//! | jwt-authorizer | JSON Web Tokens for axum 0.7 and tonic | no keys that are stored and revoked | [documentation](https://docs.rs/jwt-authorizer) |
//! | tower_governor | rate limits for tower | one quota for all keys | [governor#193](https://github.com/boinkor-net/governor/issues/193), [tower-governor#59](https://github.com/benwis/tower-governor/issues/59), both open |
//! | Unkey | a service in Go, hosted or your own | documents delays of 0, 30 and 60 s until a revocation holds; a failing database is "invalid key" | [unkey#2587](https://github.com/unkeyed/unkey/issues/2587) and its documentation |
//! | Kong, `key-auth` | a gateway with a plugin | nodes poll for revocations every 5 s; with limits, keys cost 13 to 15 % of the throughput and 0.7 to 0.9 ms at p99 by the vendor's figures | [kong#3836](https://github.com/Kong/kong/issues/3836), the vendor's page of benchmarks |
//! | Envoy, `api_key_auth` | a filter of a proxy | keys in plain text in its configuration; 401 without `WWW-Authenticate` | [documentation](https://www.envoyproxy.io/docs/envoy/v1.34.6/configuration/http/http_filters/api_key_auth_filter) |
//! | nginx, `map` | a proxy with a list of keys in its configuration | no abilities, limits by `limit_req`, a change is a reload | [documentation](https://nginx.org/en/docs/http/ngx_http_map_module.html) |
//! | Laravel Sanctum | tokens for PHP | writes `last_used_at` with each request; since January 2026 that can be turned off | [sanctum#574](https://github.com/laravel/sanctum/issues/574), [sanctum#583](https://github.com/laravel/sanctum/pull/583) |
//! | better-auth, `api-key` | a plugin for TypeScript | two writes for each verification | [better-auth#10921](https://github.com/better-auth/better-auth/issues/10921), open |
//!
//! # What the table does not show
//!
//! A gateway checks keys outside of the application: the application need not be in Rust, and has no
//! [`VerifiedKey`](crate::VerifiedKey). A layer in the application knows tenant, stage and abilities
//! where decisions are made, and needs no further hop. But it runs on several nodes, each of which has
//! to learn of a revocation: [when a revocation takes
//! effect](super::managing#when-a-revocation-takes-effect).
//!
//! Both can be combined: a layered endpoint can [authorize requests for a
//! proxy](crate::reject#authorization-for-a-proxy).
