//! `ferrite export mlflow`.

use clap::Args;
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result};
use ferrite_core::store::lock::lock;
use ferrite_core::terminal::interrupt::interrupted;
use serde_json::json;

use crate::cli::export::follow::{Followed, Pass};
use crate::cli::status::tell;
use crate::export::mlflow::tracked::{Files, of_configuration, of_run};
use crate::export::mlflow::{Sent, Server};
use crate::study::Study;

/// Held in the folder of runs by whoever sends them, so that no run is created twice.
const LOCK: &str = ".mlflow.lock";

#[derive(Debug, Args)]
#[command(after_help = "\
Each configuration is a run there, and its seeds and folds are runs nested in it. A token is taken from MLFLOW_TRACKING_TOKEN, \
name and password from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.

Examples:
  mlflow server --backend-store-uri sqlite:///mlflow.db      # in another terminal
  ferrite export mlflow --to http://127.0.0.1:5000           # every run
  ferrite export mlflow 'fer2013/*' --to http://127.0.0.1:5000 --experiment faces
  ferrite export mlflow --to http://127.0.0.1:5000 --watch   # while a sweep runs in another terminal")]
pub(in crate::cli) struct MlflowArguments {
    /// The address of the tracking server
    #[arg(long, value_name = "URL")]
    to: String,
    /// The experiment on the server that takes the runs; it is made if it is not there
    #[arg(long, value_name = "NAME", default_value = "ferrite")]
    experiment: String,
    /// Send the weights of finished runs, too
    #[arg(long)]
    weights: bool,
    #[command(flatten)]
    followed: Followed,
}

pub(super) fn mlflow_command(arguments: &MlflowArguments) -> Result<()> {
    let files = if arguments.weights { Files::All } else { Files::WithoutWeights };
    let (mut server, mut sent) = (None, Sent::default());
    arguments.followed.each(&mut |pass| {
        // What the server has is asked anew when something went wrong.
        let mut open = match server.take() {
            Some(it) => it,
            None => Server::open(&arguments.to, &arguments.experiment)?,
        };
        let outcome = send(pass, &mut open, files);
        sent.add(std::mem::take(&mut open.sent));
        server = outcome.is_ok().then_some(open);
        outcome
    })?;
    let Sent { created, replaced, metrics, files, without_files } = sent;
    let object = json!({
        "server": arguments.to,
        "experiment": arguments.experiment,
        "created": created,
        "replaced": replaced,
        "metrics": metrics,
        "files": files,
        "without_files": without_files,
    });
    arguments.followed.tell(object, &told(sent), &arguments.to)
}

fn send(pass: &Pass<'_>, server: &mut Server, files: Files) -> Result<()> {
    if pass.changed.is_empty() {
        return Ok(());
    }
    let lock = lock(&pass.store.root.join(LOCK), &mut |held| {
        if held.worth_saying {
            tell("another export sends these runs; this one waits");
        }
        if interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    })?;
    let all = Study::of(pass.all, &[], &pass.store.root);
    let is_news = |name: &str| pass.changed.iter().any(|it| it.name() == name);
    for configuration in &all.configurations {
        if configuration.trained().any(|it| is_news(&it.record.name())) {
            server.send(&of_configuration(configuration))?;
        }
    }
    for head in &pass.changed {
        let whole = pass.whole(head)?;
        let study = Study::of(std::slice::from_ref(&whole.record), &[], &pass.store.root);
        for run in study.runs() {
            server.send(&of_run(run, &whole.events, files))?;
        }
    }
    lock.discard();
    Ok(())
}

/// What was sent, in a line.
fn told(sent: Sent) -> String {
    let Sent { created, replaced, metrics, files, without_files } = sent;
    let mut all = Vec::new();
    if created > 0 {
        all.push(format!("{} created", counted(created, "run")));
    }
    if replaced > 0 {
        all.push(format!("{} replaced", counted(replaced, "run")));
    }
    if metrics > 0 {
        all.push(counted(metrics, "metric"));
    }
    if files > 0 {
        all.push(counted(files, "file"));
    }
    let mut told = if all.is_empty() { "nothing was lacking".into() } else { all.join(", ") };
    if without_files > 0 {
        told.push_str(
            "; files were not sent, because this server does not take them itself: start it with \
             `--serve-artifacts` and `--artifacts-destination`",
        );
    }
    told
}
