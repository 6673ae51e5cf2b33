//! `ferrite serve`: a finished run's model answers over HTTP.

use std::time::Duration;

use ferrite_core::error::{Error, Result};
use ferrite_core::machine;
use ferrite_core::terminal::arguments::ServeArguments;
use ferrite_core::terminal::notes::tell;
use ferrite_core::terminal::{documented, print, print_json};

use crate::command::predict::opened;
use crate::serve::{Limits, described, listener, serve};

/// Bytes of a MiB.
const MIB: usize = 1 << 20;

pub(super) fn serve_command(arguments: &ServeArguments) -> Result<()> {
    if arguments.memory < arguments.largest {
        return Err(Error::Usage {
            message: format!(
                "a picture of {} MiB does not fit into the {} MiB of all that wait",
                arguments.largest, arguments.memory
            ),
            help: "raise `--memory` or lower `--largest`".into(),
        });
    }
    let listener = listener(&arguments.host, arguments.port)?;
    let address =
        listener.local_addr().map_err(Error::file("cannot listen at", &arguments.host))?;
    let model = opened(&arguments.model)?;
    // Looking for faces takes far longer than the network, and a core looks at one picture at a time.
    let at_once = if model.finds_faces() { machine::cores() } else { model.at_once() };
    let limits = Limits {
        queue: arguments.queue as usize,
        batch: arguments.batch.map_or(at_once, |it| it as usize),
        largest: arguments.largest as usize * MIB,
        pixels: u64::from(arguments.most_pixels) * 1_000_000,
        memory: arguments.memory as usize * MIB,
        sending: Duration::from_secs(arguments.send_timeout.into()),
        waiting: Duration::from_secs(arguments.wait_timeout.into()),
    };
    let url = format!("http://{address}/");
    if arguments.json {
        let mut told = described(&model, &limits);
        told["url"] = url.into();
        print_json(&documented(told))?;
    } else {
        print(&format!("{url}\n"))?;
    }
    tell(&format!("asks {}; Ctrl-C ends it", model.names()));
    if !address.ip().is_loopback() {
        tell("whoever reaches this address may ask: there is no password");
    }
    for origin in &arguments.allow_origin {
        tell(&format!("pages of {origin} may ask as well"));
    }
    let served = serve(&model, (listener, address), &limits, &arguments.allow_origin)?;
    tell(&format!("answered {}, refused {}", served.answered, served.refused));
    Ok(())
}
