//! `ferrite completions` and `ferrite man`: what a shell and `man` know of the command line, made from its definition.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::{Shell, generate};
use ferrite_core::error::{Error, Result};
use ferrite_core::files::{create_folder, write_whole};
use ferrite_core::terminal::{print, print_data};

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell. What is printed belongs where that looks for completions: for bash into
    /// `~/.local/share/bash-completion/completions/ferrite`, for zsh into a file `_ferrite` in a folder of `$fpath`, for
    /// fish into `~/.config/fish/completions/ferrite.fish`
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// The folder to write to, e.g. `~/.local/share/man/man1`
    folder: PathBuf,
}

pub(super) fn completions_command(
    command: &mut Command,
    arguments: &CompletionsArguments,
) -> Result<()> {
    let mut script = Vec::new();
    generate(arguments.shell, command, "ferrite", &mut script);
    print_data(&String::from_utf8_lossy(&script))
}

/// Writes a page for the program and one for each of its commands.
pub(super) fn man_command(command: &Command, arguments: &ManArguments) -> Result<()> {
    let folder = &arguments.folder;
    create_folder(folder)?;
    let mut written = String::new();
    for page in pages(command, "") {
        let path = folder.join(page.get_filename());
        let mut bytes = Vec::new();
        page.render(&mut bytes).map_err(Error::file("cannot write", &path))?;
        write_whole(&path, &bytes)?;
        // Writing to a string cannot fail.
        let _ = writeln!(written, "{}", path.display());
    }
    print(&written)
}

/// The page of `command`, whose name has `before` in front, and those of its subcommands.
fn pages(command: &Command, before: &str) -> Vec<clap_mangen::Man> {
    let name = format!("{before}{}", command.get_name());
    let below = command.get_subcommands().filter(|it| it.get_name() != "help");
    let below: Vec<_> = below.flat_map(|it| pages(it, &format!("{name}-"))).collect();
    let page = clap_mangen::Man::new(command.clone().display_name(name));
    std::iter::once(page).chain(below).collect()
}
