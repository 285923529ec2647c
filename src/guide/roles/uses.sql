GRANT SELECT, INSERT, UPDATE ON auth.api_key_uses TO api_verify;
