//! The `ferrite` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ferrite::cli::main()
}
