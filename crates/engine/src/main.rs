//! The `ferrite-engine` command, which `ferrite` calls.

use std::process::ExitCode;

fn main() -> ExitCode {
    ferrite_engine::command::main()
}
