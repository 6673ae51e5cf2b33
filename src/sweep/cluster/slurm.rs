//! Tasks as jobs of Slurm: arrays of equal ones, with dependencies.
//!
//! What Slurm says of a job is a hint: it forgets jobs that are over, it can lose one when its controller dies and give the
//! number to another, and so jobs are known by their comment. Whether a step is done stands on the disk.

use std::collections::BTreeMap;
use std::path::Path;

use ferrite_core::config::clusters::Slurm as Settings;
use ferrite_core::error::Result;
use ferrite_core::files::write_whole;

use crate::sweep::cluster::known::{JobState, Listed};
use crate::sweep::cluster::programs::Programs;
use crate::sweep::cluster::script::{Parts, Site, body, quoted, word};
use crate::sweep::cluster::{Afterwards, Asked, Place};

/// What to do when a program of Slurm refuses something.
const HELP: &str =
    "settings of jobs are in `[slurm]` of ferrite.toml; docs/clusters.md explains what Slurm says";

/// Slurm, as a submission asks it.
pub(super) struct Slurm<'a> {
    pub(super) programs: &'a Programs,
    pub(super) settings: &'a Settings,
}

/// Tasks that wait for the same, and so are one array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Array {
    /// Its number in the submission.
    pub(super) number: usize,
    /// The jobs that it waits for.
    pub(super) after: Vec<String>,
    /// Its tasks, as positions among those that are asked for.
    pub(super) tasks: Vec<usize>,
}

impl Slurm<'_> {
    /// Submits `asked`, and returns the number of each one's job.
    pub(super) fn submit(&self, asked: &Asked<'_>) -> Result<Vec<String>> {
        let mut jobs: BTreeMap<usize, String> = BTreeMap::new();
        let mut number = 0;
        while jobs.len() < asked.tasks.len() {
            let arrays = next_arrays(asked, &jobs, self.settings.largest_array as usize, number);
            number += arrays.len();
            for array in arrays {
                let script = self.write(asked, &array)?;
                let id = self.sbatch(&script).inspect_err(|_| self.take_back(&jobs))?;
                let tasks = array.tasks.iter().enumerate();
                jobs.extend(tasks.map(|(index, task)| (*task, format!("{id}_{index}"))));
            }
        }
        Ok(jobs.into_values().collect())
    }

    /// Submits a script, and returns the number that it got.
    fn sbatch(&self, script: &str) -> Result<String> {
        let said = self.programs.run("sbatch", &["--parsable", script], HELP)?;
        // Behind a semicolon stands the cluster, where there are several.
        Ok(said.trim().split(';').next().unwrap_or_default().to_owned())
    }

    /// The script of what would be submitted first; empty if there is nothing.
    pub(super) fn first_script(&self, asked: &Asked<'_>) -> String {
        let arrays = next_arrays(asked, &BTreeMap::new(), self.settings.largest_array as usize, 0);
        arrays.first().map_or_else(String::new, |it| self.script(asked, it))
    }

    /// Cancels what was submitted before something was refused: half a sweep would wait for what never comes.
    fn take_back(&self, jobs: &BTreeMap<usize, String>) {
        let jobs: Vec<&str> = jobs.values().map(String::as_str).collect();
        if !jobs.is_empty() {
            // The refusal is what there is to tell.
            let _ = self.programs.run("scancel", &jobs, HELP);
        }
    }

    /// Submits a job that does `what` once all of `jobs` are over, however they ended.
    pub(super) fn submit_after(
        &self,
        site: &Site,
        folder: &Path,
        jobs: &[String],
        what: &Afterwards,
    ) -> Result<String> {
        let arrays = jobs.iter().filter_map(|it| it.split('_').next());
        let mut arrays: Vec<&str> = arrays.collect();
        arrays.dedup();
        let Afterwards { name, words } = what;
        let mut options = vec![
            format!("--job-name=ferrite-{name}"),
            format!("--comment={}:{name}", comment(folder)),
            format!("--dependency=afterany:{}", arrays.join(":")),
            format!("--output={}", pattern(&folder.join(format!("{name}.out")))),
            format!("--chdir={}", pattern(&site.here)),
        ];
        options.extend(self.resources(0));
        let setup: String = self.settings.setup.iter().map(|it| format!("{it}\n")).collect();
        let words: String = words.iter().map(|it| format!(" {}", word(it))).collect();
        let text = format!("{}{setup}exec {}{words}\n", head(&options), quoted(&site.ferrite));
        let path = folder.join(format!("{name}.sh"));
        write_whole(&path, text.as_bytes())?;
        self.sbatch(&path.to_string_lossy())
    }

    /// Writes the script of an array and the list of its tasks, and returns the script's path.
    fn write(&self, asked: &Asked<'_>, array: &Array) -> Result<String> {
        let path = |end: &str| asked.folder.join(format!("{}.{end}", array.number));
        let lines = array.tasks.iter().map(|it| asked.tasks[*it].line());
        write_whole(&path("tasks"), lines.collect::<String>().as_bytes())?;
        write_whole(&path("sh"), self.script(asked, array).as_bytes())?;
        Ok(path("sh").to_string_lossy().into_owned())
    }

    /// The script of an array. Everything that Slurm is told stands in it, so that a person can read it, and submit it again.
    pub(super) fn script(&self, asked: &Asked<'_>, array: &Array) -> String {
        let Settings { at_once, lead, requeues, .. } = self.settings;
        let path = |end: &str| asked.folder.join(format!("{}{end}", array.number));
        let most = at_once.map_or_else(String::new, |it| format!("%{it}"));
        let after = (!array.after.is_empty()).then(|| array.after.join(":"));
        let output = pattern(&path("-%a.out")).replace("%%a", "%a");
        let mut options = vec![
            "--job-name=ferrite".to_owned(),
            format!("--comment={}:{}", comment(asked.folder), array.number),
            format!("--array=0-{}{most}", array.tasks.len() - 1),
        ];
        options.extend(after.map(|it| format!("--dependency=afterok:{it}")));
        options.extend([
            "--kill-on-invalid-dep=yes".to_owned(),
            "--requeue".to_owned(),
            format!("--signal=B:USR1@{lead}"),
            "--open-mode=append".to_owned(),
            format!("--output={output}"),
            format!("--chdir={}", pattern(&asked.site.here)),
        ]);
        options.extend(self.resources(self.settings.gpus));
        let list = quoted(&path(".tasks"));
        let task = format!(
            "IFS=$'\\t' read -r run until < <(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" {list})\n\
             job=\"slurm ${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}\""
        );
        // With 138 the signal itself ended the engine, before it listened.
        let end = format!(
            "if [[ $stopped == time && ($code == 130 || $code == 138) && ${{SLURM_RESTART_COUNT:-0}} -lt {requeues} ]]; then\n    \
             # The number of a whole array is also that of one of its jobs, and means all of them. Slurm ends this script\n    \
             # when it has queued the job again.\n    \
             scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}\" && sleep 60\nfi\n"
        );
        let setup = &self.settings.setup;
        let parts = Parts { threads: self.settings.cpus, setup, task: &task, end: &end };
        format!("{}{}", head(&options), body(asked.site, &parts))
    }

    /// What a job asks for.
    fn resources(&self, gpus: u32) -> Vec<String> {
        let Settings { partition, account, time, cpus, memory, flags, .. } = self.settings;
        let named =
            [("partition", partition), ("account", account), ("time", time), ("mem", memory)];
        let named = named.into_iter().filter_map(|(name, it)| Some((name, it.as_ref()?)));
        let named = named.map(|(name, it)| format!("--{name}={it}"));
        let cpus = [format!("--ntasks=1 --cpus-per-task={cpus}")];
        let gpus = (gpus > 0).then(|| format!("--gres=gpu:{gpus}"));
        named.chain(cpus).chain(gpus).chain(flags.iter().cloned()).collect()
    }
}

/// The first lines of a script, which Slurm reads.
fn head(options: &[String]) -> String {
    let options: String = options.iter().map(|it| format!("#SBATCH {it}\n")).collect();
    format!("#!/bin/bash\n{options}")
}

/// The arrays that can be submitted next: of tasks that wait for nothing, or for what has a job already.
pub(super) fn next_arrays(
    asked: &Asked<'_>,
    jobs: &BTreeMap<usize, String>,
    largest: usize,
    first: usize,
) -> Vec<Array> {
    let mut groups: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    for (at, task) in asked.tasks.iter().enumerate().filter(|it| !jobs.contains_key(&it.0)) {
        let job = |it: &Place| match it {
            Place::Asked(it) => jobs.get(it).cloned(),
            Place::Queued(it) => Some(it.clone()),
        };
        if let Some(after) = task.after.iter().map(job).collect::<Option<Vec<_>>>() {
            groups.entry(after).or_default().push(at);
        }
    }
    let chunks = groups
        .iter()
        .flat_map(|(after, tasks)| tasks.chunks(largest).map(|it| (after.clone(), it.to_vec())));
    let arrays = chunks.enumerate();
    arrays.map(|(at, (after, tasks))| Array { number: first + at, after, tasks }).collect()
}

/// What Slurm has of a user's jobs that were submitted from here.
///
/// # Errors
/// [`Error::Usage`] with what Slurm said, such as that its controller does not answer.
pub(super) fn list(programs: &Programs) -> Result<Vec<Listed>> {
    let format = "--format=%F_%K|%T|%r|%k";
    let arguments = ["--noheader", "--array", "--states=all", "--me", format];
    let said = programs.run("squeue", &arguments, "try again when Slurm answers: `sinfo` tells")?;
    Ok(said.lines().filter_map(parse).collect())
}

/// The jobs that decide what is submitted next, of the submissions that are `mine`.
///
/// # Errors
/// As of [`list`].
pub(super) fn decisions(programs: &Programs, mine: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
    let arguments = ["--noheader", "--me", "--format=%A|%k"];
    let said = programs.run("squeue", &arguments, "try again when Slurm answers: `sinfo` tells")?;
    let found = said.lines().filter_map(|line| {
        let (job, comment) = line.split_once('|')?;
        let (submission, what) = comment.trim().strip_prefix("ferrite:")?.split_once(':')?;
        (what == Afterwards::DECISION && mine(submission)).then(|| job.to_owned())
    });
    Ok(found.collect())
}

/// Asks Slurm to cancel these jobs.
///
/// # Errors
/// [`Error::Usage`] with what Slurm said.
pub(super) fn cancel(programs: &Programs, jobs: &[&str]) -> Result<()> {
    programs.run("scancel", jobs, "try again when Slurm answers: `sinfo` tells").map(|_| ())
}

/// What the comments of a submission's jobs begin with, which lies in `folder`.
fn comment(folder: &Path) -> String {
    format!("ferrite:{}", folder.file_name().unwrap_or_default().to_string_lossy())
}

/// A path as Slurm's options take it, where `%` begins a pattern.
fn pattern(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('%', "%%").replace('"', "\\\""))
}

/// A line of `squeue`: `<array>_<index>|<state>|<reason>|ferrite:<submission>:<list>`.
fn parse(line: &str) -> Option<Listed> {
    let mut parts = line.splitn(4, '|');
    let (job, state, reason, comment) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (submission, list) = comment.trim().strip_prefix("ferrite:")?.split_once(':')?;
    let (_, index) = job.split_once('_')?;
    let state = match (state, reason) {
        // Such a job waits for ever where Slurm does not cancel it.
        ("PENDING", "DependencyNeverSatisfied") => JobState::Over("DEPENDENCY_FAILED".into()),
        ("PENDING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "SPECIAL_EXIT", reason) => {
            JobState::Waiting(reason.to_owned())
        }
        (
            "COMPLETED" | "FAILED" | "TIMEOUT" | "CANCELLED" | "OUT_OF_MEMORY" | "NODE_FAIL"
            | "PREEMPTED" | "BOOT_FAIL" | "DEADLINE" | "REVOKED",
            _,
        ) => JobState::Over(state.to_owned()),
        // What is not known is not over.
        _ => JobState::Running,
    };
    let (list, index) = (list.parse().ok()?, index.parse().ok()?);
    Some(Listed { submission: submission.to_owned(), list, index, job: job.to_owned(), state })
}

/// What a job's end means in words; none for a state that says nothing of why.
pub(super) fn meaning(state: &str) -> Option<(&'static str, &'static str)> {
    Some(match state {
        "TIMEOUT" => (
            "Slurm ended it when its time was over (TIMEOUT)",
            "the next sweep goes on from its last checkpoint. If an epoch takes longer than `lead` in `[slurm]` of \
             ferrite.toml, raise `lead` or `time`",
        ),
        "OUT_OF_MEMORY" => (
            "Slurm ended it for its memory (OUT_OF_MEMORY)",
            "raise `memory` in `[slurm]` of ferrite.toml, or lower `batch_size`; the next sweep goes on from its last \
             checkpoint",
        ),
        "NODE_FAIL" | "BOOT_FAIL" => (
            "its node failed, and Slurm did not queue it again (NODE_FAIL)",
            "the next sweep goes on from its last checkpoint",
        ),
        "CANCELLED" => ("its job was cancelled", "the next sweep goes on from its last checkpoint"),
        "PREEMPTED" => (
            "Slurm gave its place to another job (PREEMPTED)",
            "the next sweep goes on from its last checkpoint",
        ),
        "DEADLINE" => (
            "Slurm could not have ended it in time (DEADLINE)",
            "lower `time` in `[slurm]` of ferrite.toml, and sweep again",
        ),
        "DEPENDENCY_FAILED" => (
            "its job was not started, since one that it waits for did not end well",
            "mend that one first, then sweep again",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    use crate::sweep::cluster::AskedTask;

    fn site() -> Site {
        let [engine, ferrite, runs, here] =
            ["/bin/engine", "/bin/ferrite", "/data/runs", "/data"].map(Into::into);
        Site { engine, ferrite, runs, here, device: "auto".into() }
    }

    /// Tasks by what each waits for.
    fn asked<'a>(site: &'a Site, folder: &'a Path, after: &[&[Place]]) -> Asked<'a> {
        let task = |(at, after): (usize, &&[Place])| AskedTask {
            run: format!("e/{at}"),
            until: (at == 0).then(|| "k".to_owned()),
            after: after.to_vec(),
        };
        Asked { site, folder, tasks: after.iter().enumerate().map(task).collect() }
    }

    #[test]
    fn what_waits_for_the_same_is_one_array_and_what_it_waits_for_comes_first() {
        let site = site();
        let old = Place::Queued("9_4".into());
        let shared = [Place::Asked(0)];
        let asked = asked(&site, Path::new("/f"), &[&[], &shared, &shared, &[old], &shared, &[]]);
        let mut jobs = BTreeMap::new();
        let first = next_arrays(&asked, &jobs, 1000, 0);
        let told: Vec<_> =
            first.iter().map(|it| (it.number, &it.after[..], &it.tasks[..])).collect();
        assert_eq!(told, [(0, &[][..], &[0, 5][..]), (1, &["9_4".to_owned()][..], &[3][..])]);
        jobs.extend([(0, "1_0".to_owned()), (5, "1_1".into()), (3, "2_0".into())]);
        let second = next_arrays(&asked, &jobs, 2, 2);
        let told: Vec<_> = second.iter().map(|it| (it.number, &it.tasks[..])).collect();
        assert_eq!(told, [(2, &[1, 2][..]), (3, &[4][..])]);
        assert!(second.iter().all(|it| it.after == ["1_0"]));
    }

    #[test]
    fn the_script_tells_slurm_everything() {
        let (site, programs) = (site(), Programs::default());
        let settings = Settings {
            partition: Some("gpu".into()),
            memory: Some("8G".into()),
            gpus: 1,
            at_once: Some(4),
            flags: vec!["--qos=long".into()],
            setup: vec!["module load cuda".into()],
            ..Settings::default()
        };
        let slurm = Slurm { programs: &programs, settings: &settings };
        let folder = Path::new("/data/runs/.cluster/100%-a");
        let asked = asked(&site, folder, &[&[], &[]]);
        let array = Array { number: 3, after: vec!["7_1".into()], tasks: vec![0, 1] };
        let script = slurm.script(&asked, &array);
        let options: Vec<&str> =
            script.lines().filter_map(|it| it.strip_prefix("#SBATCH ")).collect();
        let wanted = [
            "--job-name=ferrite",
            "--comment=ferrite:100%-a:3",
            "--array=0-1%4",
            "--dependency=afterok:7_1",
            "--kill-on-invalid-dep=yes",
            "--requeue",
            "--signal=B:USR1@120",
            "--open-mode=append",
            "--output=\"/data/runs/.cluster/100%%-a/3-%a.out\"",
            "--chdir=\"/data\"",
            "--partition=gpu",
            "--mem=8G",
            "--ntasks=1 --cpus-per-task=1",
            "--gres=gpu:1",
            "--qos=long",
        ];
        assert_eq!(options, wanted);
        assert!(script.contains("\nmodule load cuda\n"), "{script}");
        let checked = std::process::Command::new("bash").args(["-n", "-c", &script]).status();
        assert!(checked.unwrap().success(), "{script}");
    }

    #[test]
    fn what_squeue_says_is_a_hint() {
        let state = |line: &str| parse(line).map(|it| (it.list, it.index, it.state));
        let waiting = |it: &str| JobState::Waiting(it.to_owned());
        let over = |it: &str| JobState::Over(it.to_owned());
        let cases = [
            ("12_0|PENDING|Priority|ferrite:a-1:2", Some((2, 0, waiting("Priority")))),
            ("12_7|RUNNING|None|ferrite:a-1:0", Some((0, 7, JobState::Running))),
            ("12_7|COMPLETING|None|ferrite:a-1:0", Some((0, 7, JobState::Running))),
            ("12_7|OF_TOMORROW|None|ferrite:a-1:0", Some((0, 7, JobState::Running))),
            ("12_7|TIMEOUT|TimeLimit|ferrite:a-1:0", Some((0, 7, over("TIMEOUT")))),
            (
                "12_7|PENDING|DependencyNeverSatisfied|ferrite:a-1:0",
                Some((0, 7, over("DEPENDENCY_FAILED"))),
            ),
            ("12_N/A|PENDING|Dependency|ferrite:a-1:report", None),
            ("12_7|RUNNING|None|(null)", None),
            ("12_7|RUNNING|None|someone's:own", None),
            ("12", None),
        ];
        for (line, expected) in cases {
            assert_eq!(state(line), expected, "{line}");
        }
    }

    #[test]
    fn what_was_submitted_before_a_refusal_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/bash\ncd \"$(dirname \"$0\")\"\n{text}"))
                .unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        program(
            "sbatch",
            "n=$(ls said-* 2>/dev/null | wc -l); cp \"${@: -1}\" said-$n\n\
             [[ $n == 1 ]] && { echo 'sbatch: error: invalid partition' >&2; exit 1; }; echo \"4$n;main\"",
        );
        program("scancel", "echo \"$@\" >cancelled");
        let (site, programs) = (site(), Programs { folder: folder.path().to_owned() });
        let settings = Settings::default();
        let slurm = Slurm { programs: &programs, settings: &settings };
        let shared = [Place::Asked(0)];
        let lists = folder.path().join("lists");
        std::fs::create_dir(&lists).unwrap();
        let error = slurm.submit(&asked(&site, &lists, &[&[], &shared])).unwrap_err().to_string();
        assert!(error.contains("`sbatch` says: sbatch: error: invalid partition"), "{error}");
        let cancelled = std::fs::read_to_string(folder.path().join("cancelled")).unwrap();
        assert_eq!(cancelled, "40_0\n");
        let submitted = slurm.submit(&asked(&site, &lists, &[&[], &shared, &shared])).unwrap();
        assert_eq!(submitted, ["42_0", "43_0", "43_1"]);
        assert_eq!(std::fs::read_to_string(lists.join("1.tasks")).unwrap(), "e/1\t\ne/2\t\n");
        assert_eq!(std::fs::read_to_string(lists.join("0.tasks")).unwrap(), "e/0\tk\n");
        let nowhere = Programs { folder: folder.path().join("none") };
        let error = list(&nowhere).unwrap_err().to_string();
        assert!(error.contains("no program `squeue`"), "{error}");
    }
}
