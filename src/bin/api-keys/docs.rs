//! `api-keys completions` and `api-keys man`.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::say::say;

/// Print the completion script of a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys completions bash > /etc/bash_completion.d/api-keys
  api-keys completions zsh > \"${fpath[1]}/_api-keys\"
  api-keys completions fish > ~/.config/fish/completions/api-keys.fish
  api-keys completions powershell >> $PROFILE")]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut command: Command, output: Output) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "api-keys", &mut script);
        // For Bash, a program with a hyphen has two names there, and so no command is found
        // (clap-rs/clap#6421).
        let script = String::from_utf8_lossy(&script).replace("api__subcmd__keys", "api__keys");
        output.write(script)?;
        Ok(Exit::Done)
    }
}

/// Print the manual page, or write one for each command
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys man | man -l -
  api-keys man --directory /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Write api-keys.1 and a page for each command to this directory
    #[arg(long, value_name = "PATH")]
    directory: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, command: Command, output: Output) -> Result<Exit, Failure> {
        match self.directory {
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(command).render(&mut page)?;
                output.write(page)?;
            }
            Some(directory) => {
                let written = std::fs::create_dir_all(&directory)
                    .and_then(|()| clap_mangen::generate_to(command, &directory));
                written.map_err(|error| {
                    Failure::usage(format!("{} cannot be written: {error}", directory.display()))
                })?;
                say(format_args!("The pages are in {}.", directory.display()));
            }
        }
        Ok(Exit::Done)
    }
}
