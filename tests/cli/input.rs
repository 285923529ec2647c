//! Secrets on standard input.

use crate::operator::Operator;

const COMMANDS: [&[&str]; 2] = [&["verify"], &["revoke", "--secret-stdin"]];

#[test]
fn white_space_around_a_secret_is_not_a_part_of_it() {
    let operator = Operator::new();
    let (_, secret) = operator.issue("a key", &[]);
    for input in [secret.clone(), format!("{secret}\n"), format!(" \t{secret} \r\n\n")] {
        operator.pipe(input, &["verify"]).succeeds();
    }
}

#[test]
fn what_is_not_one_line_of_text_is_refused() {
    let operator = Operator::new();
    let (id, secret) = operator.issue("a key", &[]);
    for (input, said) in [
        (Vec::new(), "empty: pass a key"),
        (b" \n\t\r\n".to_vec(), "empty: pass a key"),
        (format!("{secret}\nsecond").into_bytes(), "more than one line"),
        (format!("first\r{secret}").into_bytes(), "more than one line"),
        ([secret.as_bytes(), b"\xff\n"].concat(), "it is not text"),
        (format!("\"{secret}\"").into_bytes(), "the key is in quotes"),
        (format!("'{secret}'\n").into_bytes(), "the key is in quotes"),
        (secret.repeat(100).into_bytes(), "too long for a key"),
        (vec![b'x'; 10 << 20], "too long for a key"),
        (vec![b'\n'; 10 << 20], "too long for a key"),
    ] {
        for command in COMMANDS {
            let ran = operator.pipe(input.clone(), command).refuses(2, said);
            assert!(!ran.err.contains(&secret[3..]), "{ran:?}");
        }
    }
    assert_eq!(operator.show(&id)["state"], "active");
}

#[test]
fn closed_streams_are_no_panic() {
    let operator = Operator::new();
    let (id, _) = operator.issue("a key", &[]);
    for script in [
        "\"$0\" verify <&-",
        "\"$0\" revoke --secret-stdin <&-",
        "\"$0\" revoke --secret-stdin < .",
    ] {
        let code = operator.shell(script).code;
        assert!(code == 1 || code == 2, "{script}: {code}");
    }
    operator.shell("\"$0\" list 2>&- >&-").succeeds();
    operator.shell("\"$0\" list 2>&- | :").succeeds();
    operator.shell("\"$0\" show key_1 2>&-").exits(3);
    operator.shell("\"$0\" shwo 2>&-").exits(2);
    operator.shell("\"$0\" --help | :").succeeds();
    assert_eq!(operator.show(&id)["state"], "active");
    // The exit status says that a key is not valid, also to who does not read why.
    for json in ["", "--json"] {
        let verify = format!("sleep 0.2; echo sk_live_1 | \"$0\" verify {json}; echo $? >&2");
        assert_eq!(operator.shell(&format!("{{ {verify}; }} | :")).err, "5\n");
    }
    // What was to be done is done, whoever reads.
    operator.shell(&format!("\"$0\" revoke {id} --json 2>&- | :")).succeeds();
    assert_eq!(operator.show(&id)["state"], "revoked");
}
