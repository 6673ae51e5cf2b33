//! What LibTorch's panics mean to a user.

use std::any::Any;

use crate::error::Error;

/// The error behind a panic of LibTorch's wrapper.
pub(super) fn torch_failure(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("an operation failed");
    let message = first_line(text).to_owned();
    let memory = message.contains("memory");
    let help = if memory {
        "lower `batch_size` or `data.image_size`, or run fewer trials at once with `--jobs`"
    } else {
        "this is likely a bug in Ferrite; the run's settings are in its trial.toml"
    };
    Error::Torch { message, help: help.into() }
}

/// What LibTorch said, without the unwrapping around it and the list of frames behind it.
fn first_line(panic: &str) -> &str {
    let said = panic.split_once("Torch(\"").map_or(panic, |(_, said)| said);
    let said = said.split("\\n").next().unwrap_or_default();
    said.lines().next().unwrap_or_default().trim_end_matches("\")")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_panic_in_libtorch_only_what_it_said_is_told() {
        let text = r#"called `Result::unwrap()` on an `Err` value: Torch("out of memory: tried 5 GB\nframe #0: c10::Error\n")"#;
        assert_eq!(first_line(text), "out of memory: tried 5 GB");
        assert_eq!(first_line(r#"… value: Torch("bad shape")"#), "bad shape");
        assert_eq!(first_line("index out of bounds"), "index out of bounds");
    }
}
