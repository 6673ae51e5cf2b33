//! `ferrite predict`: what a finished run's model says about pictures, and about those of videos.

mod annotated;
mod form;

use std::io::Write;
use std::path::{Path, PathBuf};

use ferrite_core::data::photo::{self, Photos};
use ferrite_core::data::video::{Frame, Frames, is_video};
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result, printable};
use ferrite_core::fetch::Cache;
use ferrite_core::finished::members_of;
use ferrite_core::machine;
use ferrite_core::remote::Remote;
use ferrite_core::store::Store;
use ferrite_core::terminal::arguments::{ModelArguments, PredictArguments};
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::notes::{counting, tell};
use ferrite_torch::device_named;
use indicatif::ProgressBar;

use crate::command::predict::annotated::{Annotated, Contact};
use crate::command::predict::form::{Form, Kind, length};
use crate::predict;
use crate::predict::said::Answer;
use crate::predict::tracks::Tracks;
use crate::predict::{Asked, Model, Wanted};

pub(super) fn predict_command(arguments: &PredictArguments) -> Result<()> {
    let mut paths = arguments.pictures.clone();
    if let Some(list) = &arguments.list {
        paths.extend(photo::named_in(list)?);
    }
    let Photos { pictures, broken, beside } = photo::list(&paths)?;
    let model = opened(&arguments.model)?;
    if model.is_ensemble() {
        tell(&format!(
            "{} answer together: {}",
            counted(model.members.len(), "run"),
            model.names()
        ));
    }
    let kinds: Vec<bool> = pictures.iter().map(|it| is_video(it)).collect();
    let kind = match (arguments.json, arguments.csv) {
        (true, _) => Kind::Json,
        (_, true) => Kind::Csv,
        _ => Kind::Table(pictures.iter().map(|it| length(it)).max().unwrap_or_default()),
    };
    let form = Form { kind, videos: kinds.contains(&true) };
    let annotated = arguments.annotate.as_deref().map(|it| Annotated::into(it, &pictures));
    let bar = counting("pictures", pictures.len());
    let mut teller =
        Teller { model: &model, form, annotated: annotated.transpose()?, bar, bad: broken };
    teller.bar.suspend(|| form.begin(&model))?;
    let mut rest = &pictures[..];
    // Pictures are asked about together as far as they stand together, a video by itself.
    for group in kinds.chunk_by(|a, b| !a && !b) {
        let (asked, others) = rest.split_at(group.len());
        rest = others;
        match (group, asked) {
            ([true], [video]) => teller.video(video, arguments.every)?,
            _ => teller.pictures(asked)?,
        }
    }
    teller.bar.finish_and_clear();
    for line in beside.lines() {
        // A closed stderr leaves nobody to tell.
        let _ = writeln!(std::io::stderr(), "{}", printable(&line));
    }
    let mut bad = teller.bad.into_iter();
    let first = bad.next();
    for error in bad {
        // The first is told last, with its help and the exit code.
        let _ = writeln!(std::io::stderr(), "{error}");
    }
    first.map_or(Ok(()), Err)
}

/// What tells what a model says.
struct Teller<'a> {
    model: &'a Model,
    form: Form,
    annotated: Option<Annotated<'a>>,
    bar: ProgressBar,
    /// What could not be read.
    bad: Vec<Error>,
}

impl Teller<'_> {
    fn pictures(&mut self, pictures: &[PathBuf]) -> Result<()> {
        let model = self.model;
        model.answer(pictures, &mut |answers| {
            self.bar.inc(answers.len() as u64);
            let (good, failed): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
            self.bad.extend(failed.into_iter().filter_map(Result::err));
            let good: Vec<Answer> = good.into_iter().flatten().collect();
            self.tell(&good)?;
            if let Some(annotated) = &mut self.annotated {
                annotated.write(&model.classes, &good)?;
            }
            if interrupted() { Err(Error::Interrupted) } else { Ok(()) }
        })
    }

    /// Tells of the pictures of the video at `path`, one every so many seconds.
    fn video(&mut self, path: &Path, every: f64) -> Result<()> {
        let mut frames = Frames::open(path, every)?;
        let (mut tracks, mut contact) = (Tracks::default(), Contact::new());
        loop {
            let mut batch: Vec<Frame> = Vec::new();
            // They are large: as many as are looked at at the same time.
            for frame in frames.by_ref().take(machine::cores()) {
                match frame {
                    Ok(frame) => batch.push(frame),
                    Err(error) => self.bad.push(error),
                }
            }
            if batch.is_empty() {
                break;
            }
            let answers = self.model.answer_frames(path, &batch, &mut tracks)?;
            self.tell(&answers)?;
            if self.annotated.is_some() {
                contact.add(&self.model.classes, &batch, &answers);
            }
            if interrupted() {
                return Err(Error::Interrupted);
            }
        }
        self.bar.inc(1);
        self.annotated.as_mut().map_or(Ok(()), |it| it.write_sheet(path, &contact))
    }

    fn tell(&self, answers: &[Answer]) -> Result<()> {
        self.bar.suspend(|| self.form.tell(self.model, answers))
    }
}

/// Opens the model that `arguments` ask for, of a run or of several. From then on Ctrl-C asks to stop.
///
/// # Errors
/// As of [`predict::open`], and [`Error::Usage`] where a name leads nowhere.
pub(super) fn opened(arguments: &ModelArguments) -> Result<Model> {
    let store = Store { root: arguments.place.runs.clone() };
    let named = [std::slice::from_ref(&arguments.run), &arguments.with].concat();
    let folders = members_of(&store, &named)?;
    let device = device_named(&arguments.device)?;
    ferrite_torch::start(machine::cores(), device);
    let asked = match (arguments.find_faces, arguments.assume_face) {
        (true, _) => Asked::Faces,
        (_, true) => Asked::Whole,
        _ => Asked::AsTrained,
    };
    listen_for_interrupts();
    let wanted = Wanted { folders: &folders, weights: &arguments.weights, asked };
    predict::open(&store, wanted, device, &fetched)
}

/// A file of others, downloaded if it is not there yet.
fn fetched(remote: Remote<'_>) -> Result<PathBuf> {
    Cache::of_user()?.fetch(remote, &mut |_| {}, &interrupted)
}
