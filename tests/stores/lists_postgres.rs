//! What a list asks of PostgreSQL: by which index, and of how many rows.
