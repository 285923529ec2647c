//! Streams and revocation: what is open ends when its key does.
