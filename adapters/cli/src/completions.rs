//! `settee completions`: scripts that complete the program's arguments in a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::Write as _;

use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  settee completions bash > ~/.local/share/bash-completion/completions/settee
  settee completions zsh > \"${fpath[1]}/_settee\"
  settee completions fish > ~/.config/fish/completions/settee.fish";

/// Writes a completion script for a shell.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // Written in one piece: the generator panics where standard output is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "settee", &mut script);
    Ok(std::io::stdout().lock().write_all(&script)?)
}
