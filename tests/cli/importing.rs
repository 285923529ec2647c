//! `import`: the keys of another system.

use serde_json::{Value, json};
use tower_api_key::KeyHasher;

use crate::operator::{Operator, Ran};

const BCRYPT: &str = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW";

fn sha256(text: &str) -> String {
    KeyHasher::sha256().digest(text).to_string()
}

fn import(operator: &Operator, table: &str, options: &[&str]) -> Ran {
    operator.pipe(table, &[&["import", "-", "--format=csv"], options].concat())
}

fn verify(operator: &Operator, key: &str) -> Ran {
    operator.pipe(key, &["verify", "--json"])
}

/// A table of an older system, with a hash in each way to write one.
fn table() -> String {
    use base64::prelude::*;

    let bytes = |key: &str| KeyHasher::sha256().digest(key).as_bytes().to_owned();
    format!(
        "id,name,hash,owner,scopes,issued,expires,gone,off\n\
         1,nightly import,{},acme,\"read, bots:write\",2024-01-31 12:00:00,,,0\n\
         2,dashboards,{},acme,\"[\"\"read\"\"]\",1700000000,2099-01-01T00:00:00Z,NULL,f\n\
         3,old robot,{},,,2020-01-31,,2021-01-31,\n\
         4,\"paused, robot\",{},globex,admin,1700000000000,,,true\n",
        sha256("key-1"),
        sha256("key-2").to_uppercase(),
        BASE64_STANDARD.encode(bytes("key-3")),
        BASE64_URL_SAFE_NO_PAD.encode(bytes("key-4")),
    )
}

const COLUMNS: [&str; 7] = [
    "--tenant-column=owner",
    "--abilities-column=scopes",
    "--created-column=issued",
    "--expires-column=expires",
    "--revoked-column=gone",
    "--disabled-column=off",
    "--id-prefix=old-",
];

#[test]
fn keys_of_a_table_are_imported_once_with_an_event_each() {
    let operator = Operator::new();
    let tried = import(&operator, &table(), &[&COLUMNS[..], &["--dry-run"]].concat()).succeeds();
    assert!(tried.err.starts_with("4 would be imported, 0 unchanged"), "{tried:?}");
    assert!(tried.out.is_empty() && operator.run(&["list"]).succeeds().out.lines().count() <= 1);

    let ran = import(&operator, &table(), &COLUMNS).succeeds();
    assert!(ran.err.starts_with("4 imported, 0 unchanged, 0 refused, 0 wrong."), "{ran:?}");
    assert!(ran.err.contains("`sha256()`"), "{ran:?}");
    let key = operator.show("old-1");
    assert_eq!((&key["name"], &key["tenant"]), (&json!("nightly import"), &json!("acme")));
    assert_eq!(key["abilities"], json!(["bots:write", "read"]));
    assert_eq!(key["created_at"], json!("2024-01-31T12:00:00Z"));
    assert_eq!(operator.show("old-2")["created_at"], json!("2023-11-14T22:13:20Z"));
    assert_eq!(operator.show("old-2")["expires_at"], json!("2099-01-01T00:00:00Z"));
    assert_eq!(operator.show("old-4")["name"], json!("paused, robot"));
    let states = ["old-1", "old-2", "old-3", "old-4"].map(|id| operator.show(id)["state"].clone());
    assert_eq!(states, ["active", "active", "revoked", "disabled"]);
    for (key, id, exit) in
        [("key-1", "old-1", 0), ("key-2", "old-2", 0), ("key-3", "old-3", 5), ("key-4", "old-4", 5)]
    {
        assert_eq!(verify(&operator, key).exits(exit).json()["key"]["id"], json!(id));
    }
    let events = operator.run(&["audit", "--since=1h", "--json"]).succeeds().json_lines();
    let events: Vec<_> = events.iter().map(|event| (&event["action"], &event["actor"])).collect();
    assert_eq!(events, [(&json!("imported"), &json!("name:cli:operator")); 4]);

    // What was changed since stays changed.
    operator.run(&["revoke", "old-1"]).succeeds();
    let ran = import(&operator, &table(), &COLUMNS).succeeds();
    assert!(ran.err.starts_with("0 imported, 4 unchanged, 0 refused, 0 wrong."), "{ran:?}");
    assert!(ran.err.contains("Nothing was changed."), "{ran:?}");
    assert_eq!(operator.show("old-1")["state"], "revoked");
    assert_eq!(operator.run(&["audit", "--since=1h", "--json"]).json_lines().len(), 5);
}

#[test]
fn a_key_of_sanctum_is_found_by_its_own_id_only() {
    let operator = Operator::new();
    let table = format!(
        "id,tokenable_type,tokenable_id,name,token,abilities,last_used_at,expires_at,created_at\n\
         12,App\\Models\\User,7,deploys,{},\"[\"\"server:update\"\"]\",,,2024-01-31 12:00:00\n\
         13,App\\Models\\User,8,everything,{},\"[\"\"*\"\"]\",,,2024-01-31 12:00:00\n",
        sha256("first"),
        sha256("other"),
    );
    let options = [
        "--hash=sha256-after-id",
        "--hash-column=token",
        "--tenant-column=tokenable_id",
        "--abilities-column=abilities",
        "--created-column=created_at",
        "--expires-column=expires_at",
        "--id-prefix=sanctum-",
    ];
    let ran = import(&operator, &table, &options).succeeds();
    assert!(ran.err.contains("or_sha256_after_id"), "{ran:?}");
    let key = &verify(&operator, "12|first").succeeds().json()["key"];
    assert_eq!((&key["id"], &key["tenant"]), (&json!("sanctum-12"), &json!("7")));
    assert_eq!(verify(&operator, "13|other").succeeds().json()["key"]["id"], "sanctum-13");
    for wrong in ["13|first", "12|other", "first", "12|12|first", "sanctum-12|first"] {
        assert_eq!(verify(&operator, wrong).exits(5).json()["key"], Value::Null, "{wrong}");
    }
}

#[test]
fn keys_with_a_pepper_are_found_by_servers_with_the_same() {
    let pepper = "the pepper of the old system";
    let hash = KeyHasher::hmac_sha256(pepper.as_bytes()).digest("key-1");
    let table = format!("id,name,hash\n1,nightly import,{hash}\n");
    let without = Operator::new();
    let ran = import(&without, &table, &["--hash=hmac-sha256"]).succeeds();
    assert!(ran.err.contains("or_hmac_sha256(pepper)"), "{ran:?}");
    verify(&without, "key-1").exits(5);
    let with = without.with("API_KEYS_PEPPER", pepper);
    assert_eq!(verify(&with, "key-1").succeeds().json()["key"]["id"], "1");
}

#[test]
fn lines_of_json_are_imported_too() {
    let operator = Operator::new();
    let lines = format!(
        "{}\n\n{}\n{}\n",
        json!({ "id": 1, "name": "nightly import", "key_hash": sha256("key-1"), "scopes": ["a:b"],
                "expires": null, "on_hold": false, "other": { "x": 1 } }),
        json!({ "id": "2", "key_hash": sha256("key-2"), "scopes": "admin", "on_hold": 1 }),
        json!(["no object"]),
    );
    std::fs::write(operator.directory().join("keys.jsonl"), lines).unwrap();
    let ran = operator
        .run(&[
            "import",
            "keys.jsonl",
            "--hash-column=key_hash",
            "--abilities-column=scopes",
            "--disabled-column=on_hold",
            "--expires-column=expires",
            "--name=a key of before",
            "--tenant=acme",
            "--ability=all:read",
            "--json",
        ])
        .exits(2);
    let outcomes: Vec<_> = ran
        .json_lines()
        .into_iter()
        .map(|line| (line["line"].clone(), line["id"].clone(), line["outcome"].clone()))
        .collect();
    assert_eq!(
        outcomes,
        [
            (json!(1), json!("1"), json!("imported")),
            (json!(3), json!("2"), json!("imported")),
            (json!(4), json!(null), json!("wrong")),
        ]
    );
    assert_eq!(operator.show("1")["abilities"], json!(["a:b", "all:read"]));
    let key = operator.show("2");
    assert_eq!((&key["name"], &key["state"]), (&json!("a key of before"), &json!("disabled")));
    assert_eq!(
        (&key["tenant"], &key["abilities"]),
        (&json!("acme"), &json!(["admin", "all:read"]))
    );
}

#[test]
fn a_line_that_cannot_be_imported_keeps_no_other_from_it_and_is_not_repeated() {
    let operator = Operator::new();
    operator
        .pipe(
            format!("id,name,hash\n7,taken,{}\n", sha256("taken")),
            &["import", "-", "--format=csv"],
        )
        .succeeds();
    let table = format!(
        "id,name,hash,scopes\n\
         1,of bcrypt,{BCRYPT},\n\
         2,of Argon2,$argon2id$v=19$m=65536$hush,\n\
         3,no hash,hush,\n\
         4,x,{good},\n\
         hush hush,a name,{good},\n\
         5,a name,{good},hush/hush\n\
         ,a name,{good},\n\
         6,a name\n\
         7,another key,{good},\n\
         8,the same key,{taken},\n\
         9,good,{good},read\n\
         10,twice,{good},\n",
        good = sha256("good"),
        taken = sha256("taken"),
    );
    for dry in [&["--dry-run"][..], &[]] {
        let ran =
            import(&operator, &table, &[&["--abilities-column=scopes"], dry].concat()).exits(2);
        for said in [
            "wrong     line 2  `hash`: no key can be looked up by a hash of bcrypt",
            "`ApiKeyLayer::fallback`",
            "wrong     line 3  `hash`: no key can be looked up by a hash of Argon2",
            "wrong     line 4  `hash`: not a SHA-256",
            "refused   line 5  invalid name: use 3 to 100 characters",
            "wrong     line 6  `id`: a key id has 1 to 128",
            "wrong     line 7  `scopes`: an ability is",
            "wrong     line 8  `id`: it is empty",
            "wrong     line 9  it has 2 values, but the first line has 4 columns",
            "refused   line 10  another key has this id already",
            "refused   line 11  the key exists already, with the id 7",
            "refused   line 13  the key exists already, with the id 9",
        ] {
            assert!(ran.out.contains(said), "{said}: {ran:?}");
        }
        assert!(ran.err.starts_with("1 "), "{ran:?}");
        assert!(ran.err.contains("0 unchanged, 4 refused, 7 wrong."), "{ran:?}");
        assert!(!ran.out.contains("hush") && !ran.err.contains("hush"), "{ran:?}");
        assert!(!ran.out.contains(&BCRYPT[8..]), "{ran:?}");
    }
    assert_eq!(operator.show("9")["abilities"], json!(["read"]));
    assert_eq!(operator.show("7")["name"], "taken");
}

#[test]
fn many_keys_are_imported_in_batches_and_a_second_time_none() {
    let operator = Operator::new();
    let mut table = "id;name;hash\n".to_owned();
    for number in 0..1300 {
        table += &format!("{number};key {number};{}\n", sha256(&number.to_string()));
    }
    let ran = import(&operator, &table, &["--delimiter=;"]).succeeds();
    assert!(ran.err.starts_with("1300 imported, 0 unchanged"), "{ran:?}");
    let ran = import(&operator, &table, &["--delimiter=;"]).succeeds();
    assert!(ran.err.starts_with("0 imported, 1300 unchanged"), "{ran:?}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let operator = Operator::new();
    let table = table();
    let refuses = |options: &[&str], said| import(&operator, &table, options).refuses(2, said);
    refuses(
        &["--hash-column=token"],
        "there is no column `token`: name one of these with --hash-column",
    );
    refuses(&["--tenant-column=tenant"], "id, name, hash, owner");
    refuses(&["--hash=md5"], "sha256-after-id");
    refuses(&["--id-prefix=a b"], "--id-prefix");
    // The column with the hashes in the place of another.
    let ran = import(&operator, &table, &["--abilities-column=hash"]).exits(2);
    assert!(
        ran.out.contains(
            "`hash`: this looks like a secret or a hash: an ability is a name such as `bots:read`"
        ),
        "{ran:?}"
    );
    assert!(!ran.out.contains(&sha256("key-1")), "{ran:?}");
    refuses(&["--delimiter=ü"], "--delimiter");
    operator.run(&["import", "keys.csv"]).refuses(2, "keys.csv");
    operator.run(&["import", "keys.txt"]).refuses(2, "--format");
    import(&operator, "id,name,hash\n", &[])
        .refuses(2, "the table has no lines: pass at least one key");
    import(&operator, "", &[]).refuses(2, "there is no column `id`");
}
