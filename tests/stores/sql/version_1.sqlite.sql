-- A database of version 1 of the tables, as the first version of this crate left it: dumped after
-- `api-keys init`, `issue`, `rotate`, `update` and `revoke` of that version. Not written by hand.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE IF NOT EXISTS "api_key_migrations" (
            version INTEGER PRIMARY KEY,
            applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
        ) STRICT;
INSERT INTO api_key_migrations VALUES(1,'2026-11-28 20:27:00');
CREATE TABLE IF NOT EXISTS "api_keys" (
            id TEXT NOT NULL PRIMARY KEY,
            digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
            hint TEXT NOT NULL DEFAULT '',
            name TEXT NOT NULL,
            tenant TEXT,
            stage TEXT,
            kind TEXT NOT NULL DEFAULT 'secret',
            abilities TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(abilities)),
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            revoked_at INTEGER,
            disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
            rotation_due_at INTEGER,
            successor TEXT,
            limits TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(limits)),
            restrictions TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(restrictions)),
            metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
            revision INTEGER NOT NULL DEFAULT 0 CHECK (revision >= 0)
        ) STRICT;
INSERT INTO api_keys VALUES('key_rIjcgNYCQF9pv3KpwBrR',X'7d47443b4a85ea5bf64c52f15c705cba23945c33c305d5912f78c78056a395c9','ak_…eu0g','nightly import','acme','live','secret','["chat:send","imports:*"]',1795897620164783,4949497620406458,NULL,0,NULL,'key_1lTvJGKxZzHRPPAqpkqQ','["100 per hour","pool: 10000 per day, shared by tenant"]','{"addresses":["192.0.2.0/24"],"origins":null,"referrers":null,"endpoints":["GET /v1/users/{id}"]}','{"n":2.5,"plan":"paid"}',1);
INSERT INTO api_keys VALUES('key_1lTvJGKxZzHRPPAqpkqQ',X'e8f86e7229eea1b68cc780366ed573c02f69fb2d446fed42e1b8cdb9ac8ad4c3','ak_…MRlr','nightly import','acme','live','secret','["chat:send","imports:*"]',1795897620406458,NULL,NULL,0,1803673620406398,NULL,'["100 per hour","pool: 10000 per day, shared by tenant"]','{"addresses":["192.0.2.0/24"],"origins":null,"referrers":null,"endpoints":["GET /v1/users/{id}"]}','{"n":2.5,"plan":"paid"}',0);
INSERT INTO api_keys VALUES('key_XEwvjq8zskW5CojZo15J',X'a4557bf33e0447f8d66bbf832643cf134cc7126b81d1e0cfcd672f6cd8bae5c3','ak_…KCEA','a widget','globex',NULL,'public','[]',1795897620458319,NULL,NULL,1,NULL,NULL,'[]','{"addresses":null,"origins":["https://*.shop.example"],"referrers":null,"endpoints":null}','{}',1);
INSERT INTO api_keys VALUES('key_KbWHpH3BfGTbTTqJMdEn',X'ab621703daeca40f6d675c966345f6780f85d03a01b84b32eaa77b7676685570','ak_…sDGH','an old job',NULL,NULL,'secret','[]',1795897620664041,NULL,1795897620852713,0,NULL,NULL,'[]','{"addresses":null,"origins":null,"referrers":null,"endpoints":null}','{}',1);
CREATE TABLE IF NOT EXISTS "api_key_uses" (
            key_id TEXT NOT NULL PRIMARY KEY
                REFERENCES "api_keys" (id) ON UPDATE CASCADE ON DELETE CASCADE,
            last_used_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS "api_key_audit" (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            key_id TEXT,
            tenant TEXT,
            before TEXT,
            after TEXT
        ) STRICT;
INSERT INTO api_key_audit VALUES(1,1795897620164783,'name:cli:unknown','issued','key_rIjcgNYCQF9pv3KpwBrR','acme',NULL,'{"abilities":["chat:send","imports:*"],"created_at":"2026-11-28T20:27:00.164783000Z","disabled":false,"expires_at":null,"hint":"ak_…eu0g","id":"key_rIjcgNYCQF9pv3KpwBrR","kind":"secret","limits":["100 per hour","pool: 10000 per day, shared by tenant"],"metadata":{"n":2.5,"plan":"paid"},"name":"nightly import","restrictions":{"addresses":["192.0.2.0/24"],"endpoints":["GET /v1/users/{id}"],"origins":null,"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":"2027-02-26T20:27:00.164723000Z","stage":"live","successor":null,"tenant":"acme"}');
INSERT INTO api_key_audit VALUES(2,1795897620406458,'name:cli:unknown','rotated','key_rIjcgNYCQF9pv3KpwBrR','acme','{"abilities":["chat:send","imports:*"],"created_at":"2026-11-28T20:27:00.164783000Z","disabled":false,"expires_at":null,"hint":"ak_…eu0g","id":"key_rIjcgNYCQF9pv3KpwBrR","kind":"secret","limits":["100 per hour","pool: 10000 per day, shared by tenant"],"metadata":{"n":2.5,"plan":"paid"},"name":"nightly import","restrictions":{"addresses":["192.0.2.0/24"],"endpoints":["GET /v1/users/{id}"],"origins":null,"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":"2027-02-26T20:27:00.164723000Z","stage":"live","successor":null,"tenant":"acme"}','{"abilities":["chat:send","imports:*"],"created_at":"2026-11-28T20:27:00.164783000Z","disabled":false,"expires_at":"2126-11-04T20:27:00.406458000Z","hint":"ak_…eu0g","id":"key_rIjcgNYCQF9pv3KpwBrR","kind":"secret","limits":["100 per hour","pool: 10000 per day, shared by tenant"],"metadata":{"n":2.5,"plan":"paid"},"name":"nightly import","restrictions":{"addresses":["192.0.2.0/24"],"endpoints":["GET /v1/users/{id}"],"origins":null,"referrers":null},"revision":1,"revoked_at":null,"rotation_due_at":null,"stage":"live","successor":"key_1lTvJGKxZzHRPPAqpkqQ","tenant":"acme"}');
INSERT INTO api_key_audit VALUES(3,1795897620406458,'name:cli:unknown','issued','key_1lTvJGKxZzHRPPAqpkqQ','acme',NULL,'{"abilities":["chat:send","imports:*"],"created_at":"2026-11-28T20:27:00.406458000Z","disabled":false,"expires_at":null,"hint":"ak_…MRlr","id":"key_1lTvJGKxZzHRPPAqpkqQ","kind":"secret","limits":["100 per hour","pool: 10000 per day, shared by tenant"],"metadata":{"n":2.5,"plan":"paid"},"name":"nightly import","restrictions":{"addresses":["192.0.2.0/24"],"endpoints":["GET /v1/users/{id}"],"origins":null,"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":"2027-02-26T20:27:00.406398000Z","stage":"live","successor":null,"tenant":"acme"}');
INSERT INTO api_key_audit VALUES(4,1795897620458319,'name:cli:unknown','issued','key_XEwvjq8zskW5CojZo15J','globex',NULL,'{"abilities":[],"created_at":"2026-11-28T20:27:00.458319000Z","disabled":false,"expires_at":null,"hint":"ak_…KCEA","id":"key_XEwvjq8zskW5CojZo15J","kind":"public","limits":[],"metadata":{},"name":"a widget","restrictions":{"addresses":null,"endpoints":null,"origins":["https://*.shop.example"],"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":null,"stage":null,"successor":null,"tenant":"globex"}');
INSERT INTO api_key_audit VALUES(5,1795897620619919,'name:cli:unknown','disabled','key_XEwvjq8zskW5CojZo15J','globex','{"abilities":[],"created_at":"2026-11-28T20:27:00.458319000Z","disabled":false,"expires_at":null,"hint":"ak_…KCEA","id":"key_XEwvjq8zskW5CojZo15J","kind":"public","limits":[],"metadata":{},"name":"a widget","restrictions":{"addresses":null,"endpoints":null,"origins":["https://*.shop.example"],"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":null,"stage":null,"successor":null,"tenant":"globex"}','{"abilities":[],"created_at":"2026-11-28T20:27:00.458319000Z","disabled":true,"expires_at":null,"hint":"ak_…KCEA","id":"key_XEwvjq8zskW5CojZo15J","kind":"public","limits":[],"metadata":{},"name":"a widget","restrictions":{"addresses":null,"endpoints":null,"origins":["https://*.shop.example"],"referrers":null},"revision":1,"revoked_at":null,"rotation_due_at":null,"stage":null,"successor":null,"tenant":"globex"}');
INSERT INTO api_key_audit VALUES(6,1795897620664041,'name:cli:unknown','issued','key_KbWHpH3BfGTbTTqJMdEn',NULL,NULL,'{"abilities":[],"created_at":"2026-11-28T20:27:00.664041000Z","disabled":false,"expires_at":null,"hint":"ak_…sDGH","id":"key_KbWHpH3BfGTbTTqJMdEn","kind":"secret","limits":[],"metadata":{},"name":"an old job","restrictions":{"addresses":null,"endpoints":null,"origins":null,"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":null,"stage":null,"successor":null,"tenant":null}');
INSERT INTO api_key_audit VALUES(7,1795897620852713,'name:cli:unknown','revoked','key_KbWHpH3BfGTbTTqJMdEn',NULL,'{"abilities":[],"created_at":"2026-11-28T20:27:00.664041000Z","disabled":false,"expires_at":null,"hint":"ak_…sDGH","id":"key_KbWHpH3BfGTbTTqJMdEn","kind":"secret","limits":[],"metadata":{},"name":"an old job","restrictions":{"addresses":null,"endpoints":null,"origins":null,"referrers":null},"revision":0,"revoked_at":null,"rotation_due_at":null,"stage":null,"successor":null,"tenant":null}','{"abilities":[],"created_at":"2026-11-28T20:27:00.664041000Z","disabled":false,"expires_at":null,"hint":"ak_…sDGH","id":"key_KbWHpH3BfGTbTTqJMdEn","kind":"secret","limits":[],"metadata":{},"name":"an old job","restrictions":{"addresses":null,"endpoints":null,"origins":null,"referrers":null},"revision":1,"revoked_at":"2026-11-28T20:27:00.852713000Z","rotation_due_at":null,"stage":null,"successor":null,"tenant":null}');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('api_key_audit',7);
CREATE INDEX "api_keys_by_age" ON "api_keys" (created_at DESC, id DESC);
CREATE INDEX "api_keys_by_tenant" ON "api_keys" (tenant, created_at DESC, id DESC);
CREATE INDEX "api_key_audit_by_key" ON "api_key_audit" (key_id, id);
CREATE TRIGGER "api_keys_raise_revision" AFTER UPDATE ON "api_keys"
        WHEN NEW.revision <= OLD.revision
        BEGIN
            UPDATE "api_keys" SET revision = OLD.revision + 1 WHERE id = NEW.id;
        END;
COMMIT;
