//! `ferrite explain`: where a finished run's network looks.

use ferrite_core::error::Result;
use ferrite_core::files::{create_folder, write_whole};
use ferrite_core::machine;
use ferrite_core::store::Store;
use ferrite_core::store::explained::{MAPS, SHEET};
use ferrite_core::store::find::run_of;
use ferrite_core::terminal::arguments::ExplainArguments;
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::notes::counting;
use ferrite_core::terminal::print;
use ferrite_torch::device_named;

use crate::explain;
use crate::explain::Wanted;

pub(super) fn explain_command(arguments: &ExplainArguments) -> Result<()> {
    let store = Store { root: arguments.place.runs.clone() };
    let folder = run_of(&store, &arguments.run)?;
    let device = device_named(&arguments.device)?;
    ferrite_torch::start(machine::cores(), device);
    listen_for_interrupts();
    let wanted = Wanted {
        folder: &folder,
        images: arguments.images,
        ids: &arguments.ids,
        class: arguments.class.as_deref(),
        layer: arguments.layer.as_deref(),
    };
    let bar = counting("images", 0);
    let answer = explain::explain(&store, &wanted, device, &mut |[done, of]| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        !interrupted()
    })?;
    bar.finish_and_clear();
    let (maps, sheet) = (folder.join(MAPS), folder.join(SHEET));
    let plots = sheet.parent().unwrap_or(&folder);
    create_folder(plots)?;
    let text = answer.explained.to_json(&answer.sheet);
    write_whole(&sheet, &answer.sheet)?;
    write_whole(&maps, text.as_bytes())?;
    print(&format!(
        "{}\n{}\n{}\n`ferrite report` shows them on the page of the run.\n",
        answer.explained.layer.note,
        sheet.display(),
        maps.display()
    ))
}
