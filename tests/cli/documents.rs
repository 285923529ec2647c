//! `--help`, `completions` and `man`.

use assert_cmd::Command;

use crate::operator::Operator;

const MANIFEST: &str = include_str!("../../Cargo.toml");

const COMMANDS: [&str; 15] = [
    "init",
    "issue",
    "import",
    "list",
    "show",
    "update",
    "rotate",
    "revoke",
    "due-for-rotation",
    "prune",
    "verify",
    "scanner-rules",
    "usage",
    "completions",
    "man",
];

#[test]
fn every_command_has_help_with_an_example() {
    let operator = Operator::without_tables();
    let all = operator.run(&["--help"]).succeeds().out;
    for text in
        ["Exit status:", "  6  `verify`", "API_KEYS_PEPPER", "DATABASE_URL", "api-keys init"]
    {
        assert!(all.contains(text), "{text}: {all}");
    }
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command}: {all}");
        for help in [&[command, "--help"][..], &[command, "-h"], &["help", command]] {
            let help = operator.run(help).succeeds();
            assert!(help.out.contains(&format!("api-keys {command}")), "{help:?}");
            assert!(help.out.contains("Example") && help.err.is_empty(), "{help:?}");
        }
    }
    let version = MANIFEST.lines().find_map(|line| line.strip_prefix("version = ")).unwrap();
    let version = format!("api-keys {}\n", version.trim_matches('"'));
    assert_eq!(operator.run(&["--version"]).succeeds().out, version);
    operator.run(&[]).refuses(2, "Usage:");
    assert_eq!(std::fs::read_dir(operator.directory()).unwrap().count(), 0);
}

#[test]
fn every_shell_has_completions() {
    let operator = Operator::without_tables();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = operator.run(&["completions", shell]).succeeds().out;
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(script.contains("secret-stdin"), "{shell}");
        if ["bash", "zsh", "fish"].contains(&shell) && is_there(shell) {
            let mut check = Command::new(shell);
            check.arg("-n").write_stdin(script).assert().success();
        }
    }
    operator.run(&["completions", "tcsh"]).refuses(2, "possible values");
}

#[test]
fn bash_completes_commands_options_and_values() {
    if !is_there("bash") {
        return;
    }
    let operator = Operator::without_tables();
    let script = operator.run(&["completions", "bash"]).succeeds().out;
    for (typed, completed) in [
        (&["api-keys", "rev"][..], "revoke"),
        (&["api-keys", "revoke", "--sec"], "--secret-stdin"),
        (&["api-keys", "due-for-rotation", "--wi"], "--within"),
        (&["api-keys", "list", "--state", "act"], "active"),
    ] {
        let [.., before, last] = typed else { unreachable!() };
        let (words, index) = (typed.join(" "), typed.len() - 1);
        // As Bash calls the function that it was told of.
        let completing = format!(
            "COMP_WORDS=({words}); COMP_CWORD={index}\n\
             function=$(complete -p api-keys | grep -o ' -F [^ ]*' | cut -c5-)\n\
             $function api-keys {last} {before}; echo ${{COMPREPLY[*]}}"
        );
        let mut bash = Command::new("bash");
        bash.write_stdin(format!("{script}\n{completing}"));
        let said = crate::operator::Ran::of(bash).succeeds();
        assert_eq!(said.out.trim_end(), completed, "{words}: {said:?}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let operator = Operator::without_tables();
    let page = operator.run(&["man"]).succeeds().out;
    for text in [".TH api-keys 1", "Exit status:", "API_KEYS_PEPPER"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    operator.run(&["man", "--directory=pages/man1"]).succeeds();
    let directory = operator.directory().join("pages/man1");
    let mut pages = vec![directory.join("api-keys.1")];
    pages.extend(COMMANDS.map(|command| directory.join(format!("api-keys-{command}.1"))));
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains(".TH api\\-keys") || text.contains(".TH api-keys"), "{page:?}");
        if is_there("groff") {
            let mut render = Command::new("groff");
            let output = render.args(["-man", "-Tutf8", "-ww"]).arg(page).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
    }
}

/// Tells whether a program can be run on this machine.
fn is_there(program: &str) -> bool {
    std::process::Command::new(program).arg("--version").output().is_ok()
}
