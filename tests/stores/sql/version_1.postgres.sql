-- A database of version 1 of the tables, as the first version of this crate left it: dumped after
-- `api-keys init`, `issue`, `rotate`, `update` and `revoke` of that version. Not written by hand.
-- Without the commands for psql and the settings of the session.
--
-- PostgreSQL database dump
--

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

--
-- Name: api_keys_notify(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.api_keys_notify() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
    AS $$
    DECLARE
        channel text := TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME;
    BEGIN
        IF octet_length(convert_to(channel, 'UTF8')) > 63 THEN
            channel := 'api_keys.'
                || left(encode(sha256(convert_to(channel, 'UTF8')), 'hex'), 32);
        END IF;
        IF TG_OP = 'TRUNCATE' THEN
            PERFORM pg_notify(channel, '*');
            RETURN NULL;
        END IF;
        IF TG_OP <> 'INSERT' THEN
            PERFORM pg_notify(channel, encode(OLD.digest, 'hex'));
        END IF;
        -- The same payload twice in a transaction is sent once.
        IF TG_OP <> 'DELETE' THEN
            PERFORM pg_notify(channel, encode(NEW.digest, 'hex'));
        END IF;
        RETURN NULL;
    END
$$;

--
-- Name: api_keys_raise_revision(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.api_keys_raise_revision() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog'
    AS $$
        BEGIN
            IF NEW.revision <= OLD.revision THEN
                NEW.revision := OLD.revision + 1;
            END IF;
            RETURN NEW;
        END
        $$;

--
-- Name: api_key_audit; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.api_key_audit (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    key_id text COLLATE pg_catalog."C",
    tenant text COLLATE pg_catalog."C",
    before json,
    after json
);

--
-- Name: api_key_audit_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.api_key_audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.api_key_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: api_key_migrations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.api_key_migrations (
    version bigint NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

--
-- Name: api_key_uses; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.api_key_uses (
    key_id text NOT NULL COLLATE pg_catalog."C",
    last_used_at timestamp with time zone NOT NULL,
    CONSTRAINT api_key_uses_last_used_at_check CHECK (isfinite(last_used_at))
);

--
-- Name: api_keys; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.api_keys (
    id text NOT NULL COLLATE pg_catalog."C",
    digest bytea NOT NULL,
    hint text DEFAULT ''::text NOT NULL,
    name text NOT NULL,
    tenant text COLLATE pg_catalog."C",
    stage text,
    kind text DEFAULT 'secret'::text NOT NULL,
    abilities text[] DEFAULT '{}'::text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    disabled boolean DEFAULT false NOT NULL,
    rotation_due_at timestamp with time zone,
    successor text,
    limits json DEFAULT '[]'::json NOT NULL,
    restrictions json DEFAULT '{}'::json NOT NULL,
    metadata json DEFAULT '{}'::json NOT NULL,
    revision bigint DEFAULT 0 NOT NULL,
    CONSTRAINT api_keys_created_at_check CHECK (isfinite(created_at)),
    CONSTRAINT api_keys_digest_check CHECK ((octet_length(digest) = 32)),
    CONSTRAINT api_keys_expires_at_check CHECK (isfinite(expires_at)),
    CONSTRAINT api_keys_revision_check CHECK ((revision >= 0)),
    CONSTRAINT api_keys_revoked_at_check CHECK (isfinite(revoked_at)),
    CONSTRAINT api_keys_rotation_due_at_check CHECK (isfinite(rotation_due_at))
);

--
-- Data for Name: api_key_audit; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.api_key_audit OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-28 20:27:15.830757+00', 'name:cli:unknown', 'issued', 'key_wECcQ5hN4GOUTK9DPhrK', 'acme', NULL, '{"abilities":["chat:send","imports:*"],"created_at":"2026-11-28T20:27:15.830757000Z","disabled":false,"expires_at":null,"hint":"ak_…X8DX","id":"key_wECcQ5hN4GOUTK9DPhrK","kind":"secret","limits":["100 per hour","pool: 10000 per day, shared by tenant"],"metadata":{"n":2.5,"plan":"paid"},"name":"nightly import","restrictions":{"addresses":["192.0.2.0/24"],"endpoints":["GET /v1/users/{id}"],"origins":null,"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":"2027-02-26T20:27:15.830678000Z","stage":"live","successor":null,"tenant":"acme"}');
INSERT INTO public.api_key_audit OVERRIDING SYSTEM VALUE VALUES (2, '2026-11-28 20:27:16.131793+00', 'name:cli:unknown', 'rotated', 'key_wECcQ5hN4GOUTK9DPhrK', 'acme', '{"abilities":["chat:send","imports:*"],"created_at":"2026-11-28T20:27:15.830757000Z","disabled":false,"expires_at":null,"hint":"ak_…X8DX","id":"key_wECcQ5hN4GOUTK9DPhrK","kind":"secret","limits":["100 per hour","pool: 10000 per day, shared by tenant"],"metadata":{"n":2.5,"plan":"paid"},"name":"nightly import","restrictions":{"addresses":["192.0.2.0/24"],"endpoints":["GET /v1/users/{id}"],"origins":null,"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":"2027-02-26T20:27:15.830678000Z","stage":"live","successor":null,"tenant":"acme"}', '{"abilities":["chat:send","imports:*"],"created_at":"2026-11-28T20:27:15.830757000Z","disabled":false,"expires_at":"2126-11-04T20:27:16.131793000Z","hint":"ak_…X8DX","id":"key_wECcQ5hN4GOUTK9DPhrK","kind":"secret","limits":["100 per hour","pool: 10000 per day, shared by tenant"],"metadata":{"n":2.5,"plan":"paid"},"name":"nightly import","restrictions":{"addresses":["192.0.2.0/24"],"endpoints":["GET /v1/users/{id}"],"origins":null,"referrers":null},"revision":1,"revoked_at":null,"rotation_due_at":null,"stage":"live","successor":"key_SmLyWbEZSYhkLJ8QqyqT","tenant":"acme"}');
INSERT INTO public.api_key_audit OVERRIDING SYSTEM VALUE VALUES (3, '2026-11-28 20:27:16.131793+00', 'name:cli:unknown', 'issued', 'key_SmLyWbEZSYhkLJ8QqyqT', 'acme', NULL, '{"abilities":["chat:send","imports:*"],"created_at":"2026-11-28T20:27:16.131793000Z","disabled":false,"expires_at":null,"hint":"ak_…ROoK","id":"key_SmLyWbEZSYhkLJ8QqyqT","kind":"secret","limits":["100 per hour","pool: 10000 per day, shared by tenant"],"metadata":{"n":2.5,"plan":"paid"},"name":"nightly import","restrictions":{"addresses":["192.0.2.0/24"],"endpoints":["GET /v1/users/{id}"],"origins":null,"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":"2027-02-26T20:27:16.131714000Z","stage":"live","successor":null,"tenant":"acme"}');
INSERT INTO public.api_key_audit OVERRIDING SYSTEM VALUE VALUES (4, '2026-11-28 20:27:16.156327+00', 'name:cli:unknown', 'issued', 'key_Cjn8548IQO81v8VEZc7d', 'globex', NULL, '{"abilities":[],"created_at":"2026-11-28T20:27:16.156327000Z","disabled":false,"expires_at":null,"hint":"ak_…11qz","id":"key_Cjn8548IQO81v8VEZc7d","kind":"public","limits":[],"metadata":{},"name":"a widget","restrictions":{"addresses":null,"endpoints":null,"origins":["https://*.shop.example"],"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":null,"stage":null,"successor":null,"tenant":"globex"}');
INSERT INTO public.api_key_audit OVERRIDING SYSTEM VALUE VALUES (5, '2026-11-28 20:27:16.554876+00', 'name:cli:unknown', 'disabled', 'key_Cjn8548IQO81v8VEZc7d', 'globex', '{"abilities":[],"created_at":"2026-11-28T20:27:16.156327000Z","disabled":false,"expires_at":null,"hint":"ak_…11qz","id":"key_Cjn8548IQO81v8VEZc7d","kind":"public","limits":[],"metadata":{},"name":"a widget","restrictions":{"addresses":null,"endpoints":null,"origins":["https://*.shop.example"],"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":null,"stage":null,"successor":null,"tenant":"globex"}', '{"abilities":[],"created_at":"2026-11-28T20:27:16.156327000Z","disabled":true,"expires_at":null,"hint":"ak_…11qz","id":"key_Cjn8548IQO81v8VEZc7d","kind":"public","limits":[],"metadata":{},"name":"a widget","restrictions":{"addresses":null,"endpoints":null,"origins":["https://*.shop.example"],"referrers":null},"revision":1,"revoked_at":null,"rotation_due_at":null,"stage":null,"successor":null,"tenant":"globex"}');
INSERT INTO public.api_key_audit OVERRIDING SYSTEM VALUE VALUES (6, '2026-11-28 20:27:16.606333+00', 'name:cli:unknown', 'issued', 'key_GVV45Mad4bKWD8TZWw4b', NULL, NULL, '{"abilities":[],"created_at":"2026-11-28T20:27:16.606333000Z","disabled":false,"expires_at":null,"hint":"ak_…g2IM","id":"key_GVV45Mad4bKWD8TZWw4b","kind":"secret","limits":[],"metadata":{},"name":"an old job","restrictions":{"addresses":null,"endpoints":null,"origins":null,"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":null,"stage":null,"successor":null,"tenant":null}');
INSERT INTO public.api_key_audit OVERRIDING SYSTEM VALUE VALUES (7, '2026-11-28 20:27:17.030992+00', 'name:cli:unknown', 'revoked', 'key_GVV45Mad4bKWD8TZWw4b', NULL, '{"abilities":[],"created_at":"2026-11-28T20:27:16.606333000Z","disabled":false,"expires_at":null,"hint":"ak_…g2IM","id":"key_GVV45Mad4bKWD8TZWw4b","kind":"secret","limits":[],"metadata":{},"name":"an old job","restrictions":{"addresses":null,"endpoints":null,"origins":null,"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":null,"stage":null,"successor":null,"tenant":null}', '{"abilities":[],"created_at":"2026-11-28T20:27:16.606333000Z","disabled":false,"expires_at":null,"hint":"ak_…g2IM","id":"key_GVV45Mad4bKWD8TZWw4b","kind":"secret","limits":[],"metadata":{},"name":"an old job","restrictions":{"addresses":null,"endpoints":null,"origins":null,"referrers":null},"revision":1,"revoked_at":"2026-11-28T20:27:17.030992000Z","rotation_due_at":null,"stage":null,"successor":null,"tenant":null}');

--
-- Data for Name: api_key_migrations; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.api_key_migrations VALUES (1, '2026-11-28 20:27:15.781835+00');

--
-- Data for Name: api_key_uses; Type: TABLE DATA; Schema: public; Owner: -
--

--
-- Data for Name: api_keys; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.api_keys VALUES ('key_wECcQ5hN4GOUTK9DPhrK', '\x7944b405cf882b585259a40303d110d9e73df8197dec7e8fd3ae33aef2ccde49', 'ak_…X8DX', 'nightly import', 'acme', 'live', 'secret', '{chat:send,imports:*}', '2026-11-28 20:27:15.830757+00', '2126-11-04 20:27:16.131793+00', NULL, false, NULL, 'key_SmLyWbEZSYhkLJ8QqyqT', '["100 per hour","pool: 10000 per day, shared by tenant"]', '{"addresses":["192.0.2.0/24"],"origins":null,"referrers":null,"endpoints":["GET /v1/users/{id}"]}', '{"n":2.5,"plan":"paid"}', 1);
INSERT INTO public.api_keys VALUES ('key_SmLyWbEZSYhkLJ8QqyqT', '\xd2817921065fd7b905b4544586a945c04d4bedc6fb4367c65195b36da8582365', 'ak_…ROoK', 'nightly import', 'acme', 'live', 'secret', '{chat:send,imports:*}', '2026-11-28 20:27:16.131793+00', NULL, NULL, false, '2027-02-26 20:27:16.131714+00', NULL, '["100 per hour","pool: 10000 per day, shared by tenant"]', '{"addresses":["192.0.2.0/24"],"origins":null,"referrers":null,"endpoints":["GET /v1/users/{id}"]}', '{"n":2.5,"plan":"paid"}', 0);
INSERT INTO public.api_keys VALUES ('key_Cjn8548IQO81v8VEZc7d', '\xf069ded561a0568920c3271199786d6f4bbb6b6c03d801cdc8caee694d8f3368', 'ak_…11qz', 'a widget', 'globex', NULL, 'public', '{}', '2026-11-28 20:27:16.156327+00', NULL, NULL, true, NULL, NULL, '[]', '{"addresses":null,"origins":["https://*.shop.example"],"referrers":null,"endpoints":null}', '{}', 1);
INSERT INTO public.api_keys VALUES ('key_GVV45Mad4bKWD8TZWw4b', '\x568414af31fc39aa0de2fd4fb071d2b25a4f65f7c5f2f59a242773a24bed2db7', 'ak_…g2IM', 'an old job', NULL, NULL, 'secret', '{}', '2026-11-28 20:27:16.606333+00', NULL, '2026-11-28 20:27:17.030992+00', false, NULL, NULL, '[]', '{"addresses":null,"origins":null,"referrers":null,"endpoints":null}', '{}', 1);

--
-- Name: api_key_audit_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.api_key_audit_id_seq', 7, true);

--
-- Name: api_key_audit api_key_audit_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_key_audit
    ADD CONSTRAINT api_key_audit_pkey PRIMARY KEY (id);

--
-- Name: api_key_migrations api_key_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_key_migrations
    ADD CONSTRAINT api_key_migrations_pkey PRIMARY KEY (version);

--
-- Name: api_key_uses api_key_uses_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_key_uses
    ADD CONSTRAINT api_key_uses_pkey PRIMARY KEY (key_id);

--
-- Name: api_keys api_keys_digest_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_digest_key UNIQUE (digest);

--
-- Name: api_keys api_keys_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

--
-- Name: api_key_audit_by_key; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX api_key_audit_by_key ON public.api_key_audit USING btree (key_id, id);

--
-- Name: api_keys_by_age; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX api_keys_by_age ON public.api_keys USING btree (created_at DESC, id DESC);

--
-- Name: api_keys_by_tenant; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX api_keys_by_tenant ON public.api_keys USING btree (tenant, created_at DESC, id DESC);

--
-- Name: api_keys api_keys_notify; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER api_keys_notify AFTER INSERT OR DELETE OR UPDATE ON public.api_keys FOR EACH ROW EXECUTE FUNCTION public.api_keys_notify();

ALTER TABLE public.api_keys ENABLE ALWAYS TRIGGER api_keys_notify;

--
-- Name: api_keys api_keys_notify_all; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER api_keys_notify_all AFTER TRUNCATE ON public.api_keys FOR EACH STATEMENT EXECUTE FUNCTION public.api_keys_notify();

ALTER TABLE public.api_keys ENABLE ALWAYS TRIGGER api_keys_notify_all;

--
-- Name: api_keys api_keys_raise_revision; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER api_keys_raise_revision BEFORE UPDATE ON public.api_keys FOR EACH ROW EXECUTE FUNCTION public.api_keys_raise_revision();

--
-- Name: api_key_uses api_key_uses_key_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_key_uses
    ADD CONSTRAINT api_key_uses_key_id_fkey FOREIGN KEY (key_id) REFERENCES public.api_keys(id) ON UPDATE CASCADE ON DELETE CASCADE;

--
-- PostgreSQL database dump complete
--
