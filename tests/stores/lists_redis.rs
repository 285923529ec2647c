//! What a list asks of Redis: in which steps, and what comes back.
