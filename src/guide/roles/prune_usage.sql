GRANT DELETE ON auth.api_key_usage, auth.api_key_usage_days, auth.api_key_usage_writers TO api_verify;
