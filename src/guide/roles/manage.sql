GRANT USAGE ON SCHEMA auth TO api_manage;
GRANT SELECT, INSERT, UPDATE, DELETE ON auth.api_keys TO api_manage;
GRANT SELECT, INSERT, DELETE ON auth.api_key_suspensions TO api_manage;
GRANT SELECT, INSERT, DELETE ON auth.api_key_audit TO api_manage;
GRANT SELECT, INSERT, UPDATE, DELETE ON auth.api_key_usage, auth.api_key_usage_days, auth.api_key_usage_writers TO api_manage;
GRANT SELECT ON auth.api_key_uses, auth.api_key_migrations TO api_manage;
