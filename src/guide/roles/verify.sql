GRANT USAGE ON SCHEMA auth TO api_verify;
GRANT SELECT ON auth.api_keys, auth.api_key_suspensions, auth.api_key_migrations TO api_verify;
