//! The shell script that carries out one task, wherever a cluster starts it.
//!
//! It starts the engine, hands on the signal by which the cluster says that the time is up, and ends with the engine's exit
//! code. All that the cluster has to know besides is in the first lines, which each executor writes.

use std::path::{Path, PathBuf};

use ferrite_core::store::folder::files;

/// What all jobs of a submission have in common.
#[derive(Debug, Clone)]
pub struct Site {
    /// The program that carries out a job.
    pub engine: PathBuf,
    /// The program that writes the report.
    pub ferrite: PathBuf,
    /// The folder of runs, as a whole path.
    pub runs: PathBuf,
    /// The folder that paths of settings start from: that in which `ferrite` was called.
    pub here: PathBuf,
    /// Where they train, as the user asked: each node finds out for itself.
    pub device: String,
}

/// What an executor adds to the script.
#[derive(Debug, Clone)]
pub(super) struct Parts<'a> {
    /// Threads of the engine.
    pub(super) threads: u32,
    /// The user's lines that come first.
    pub(super) setup: &'a [String],
    /// A line that sets `run`, `until` and `job`.
    pub(super) task: &'a str,
    /// Lines between the end of the engine, whose exit code is `$code`, and that of the script; `$stopped` says whether the
    /// cluster asked for the end.
    pub(super) end: &'a str,
}

/// The lines behind the executor's own.
pub(super) fn body(site: &Site, parts: &Parts<'_>) -> String {
    let Site { engine, runs, here, device, .. } = site;
    let [engine, runs, here] = [engine, runs, here].map(|it| quoted(it));
    let (device, threads) = (word(device), parts.threads);
    let setup: String = parts.setup.iter().map(|it| format!("{it}\n")).collect();
    let Parts { task, end, .. } = parts;
    let (job, log, queued) = (files::JOB, files::JOB_LOG, files::QUEUED);
    format!(
        r#"{task}
cd {here} || exit 5
{setup}folder={runs}/$run
export OMP_NUM_THREADS={threads} GOMP_SPINCOUNT="${{GOMP_SPINCOUNT:-20000}}"
worker= stopped= heard=
stop() {{
    stopped=$1 heard=1
    [[ -z $worker ]] || kill -USR1 "$worker" 2>/dev/null
}}
trap 'stop time' USR1
trap 'stop end' TERM INT
echo "== $job on ${{SLURMD_NODENAME:-$HOSTNAME}}, $(date)" >>"$folder/{log}"
# The time may be up before the engine has begun.
code=130
if [[ -z $stopped ]]; then
    {engine} job "$folder/{job}" --runs {runs} --threads {threads} --device {device} --claim "$job" ${{until:+--until "$until"}} >>"$folder/{log}" 2>&1 </dev/null &
    worker=$!
    # A signal ends the waiting, and not the engine.
    while heard=; wait "$worker"; code=$?; [[ -n $heard ]]; do :; done
fi
{end}# A process that gave way to another one leaves that one its job.
[[ -n $until || ($code == 130 && -z $stopped) ]] || rm -f "$folder/{queued}"
exit "$code"
"#
    )
}

/// `path` as a word of the shell.
pub(super) fn quoted(path: &Path) -> String {
    word(&path.to_string_lossy())
}

/// `text` as a word of the shell.
pub(super) fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Runs the script for an engine that is `engine`, sends it `signals` once it runs, and returns its exit code and the
    /// folder of the run.
    fn run(engine: &str, signals: &[&str]) -> (Option<i32>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = |it: &str| folder.path().join(it);
        let program = path("an engine's");
        std::fs::write(&program, format!("#!/bin/bash\n{engine}")).unwrap();
        Command::new("chmod").arg("+x").arg(&program).status().unwrap();
        std::fs::create_dir_all(path("runs/e/t 1")).unwrap();
        std::fs::write(path("runs/e/t 1/queued.json"), "{}").unwrap();
        let site = Site {
            engine: program,
            ferrite: path("ferrite"),
            runs: path("runs"),
            here: folder.path().to_owned(),
            device: "auto".into(),
        };
        let setup = ["export FROM_SETUP=1".to_owned()];
        let task = "run='e/t 1' until= job='slurm 1_2'";
        let end = "[[ $stopped == time ]] && touch again\n";
        let text = body(&site, &Parts { threads: 3, setup: &setup, task, end });
        std::fs::write(path("script"), text).unwrap();
        let mut child = Command::new("bash").arg(path("script")).spawn().unwrap();
        for signal in signals {
            while !path("ready").exists() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            let id = child.id().to_string();
            Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        }
        (child.wait().unwrap().code(), folder)
    }

    #[test]
    fn the_engine_is_started_on_the_job_and_its_exit_code_is_the_scripts() {
        let (code, folder) =
            run("echo \"$FROM_SETUP $OMP_NUM_THREADS $# $1 ${@: -1} $PWD\"; exit 10", &[]);
        assert_eq!(code, Some(10));
        let log = std::fs::read_to_string(folder.path().join("runs/e/t 1/job.log")).unwrap();
        let here = folder.path().display();
        assert!(log.starts_with("== slurm 1_2 on "), "{log}");
        assert!(log.ends_with(&format!("1 3 10 job slurm 1_2 {here}\n")), "{log}");
        assert!(!folder.path().join("runs/e/t 1/queued.json").exists());
        assert!(!folder.path().join("again").exists());
    }

    #[test]
    fn a_signal_is_handed_on_and_the_engine_waited_for_however_often_it_comes() {
        // The engine ends by itself when it was told to, a moment later.
        let engine = "trap 'told=1' USR1; touch ready; until [[ $told ]]; do sleep 0.05; done; sleep 0.3; exit 130";
        for (signals, again) in
            [(&["USR1"][..], true), (&["USR1", "USR1"], true), (&["TERM"], false)]
        {
            let (code, folder) = run(engine, signals);
            assert_eq!((code, folder.path().join("again").exists()), (Some(130), again));
        }
    }
}
