//! What `ferrite.toml` says: how a cluster is asked for jobs. Read as strictly as experiments are, and told as they are.
//!
//! Nothing of it changes a result, so it stands in no experiment and in no key: the same experiments run on another
//! cluster with another file.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Table;
use toml::de::DeTable;

use crate::config::path::merge;
use crate::config::places::places;
use crate::config::problems::Problems;
use crate::config::schema::Schema;
use crate::config::text::{NoText, in_other_words, text_of};
use crate::error::{Error, Problem, Result};

/// What the file is called in the folder in which `ferrite` is called.
pub const FILE: &str = "ferrite.toml";

/// How clusters are asked for jobs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clusters {
    /// How Slurm is asked.
    pub slurm: Slurm,
    /// How `HyperQueue` is asked.
    pub hyperqueue: HyperQueue,
}

/// What a job asks of Slurm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Slurm {
    /// The partition, which some call a queue. Left out, the cluster's default one.
    pub partition: Option<String>,
    /// The account that pays. Left out, the user's default one.
    pub account: Option<String>,
    /// The longest that a job may take, as Slurm writes it: `30` minutes, `2:00:00`, `1-12` days and hours. Left out, the
    /// partition's default.
    pub time: Option<String>,
    /// GPUs of each job.
    pub gpus: u32,
    /// Cores of each job, and threads that it computes with.
    pub cpus: u32,
    /// Memory of each job, such as `8G`. Left out, the partition's default.
    pub memory: Option<String>,
    /// So many jobs of an array run at once at most. Left out, as many as Slurm lets.
    pub at_once: Option<u32>,
    /// Further options of `sbatch`, such as `--qos=long`.
    pub flags: Vec<String>,
    /// Lines of shell that come before the work in each job, such as `module load cuda`.
    pub setup: Vec<String>,
    /// Seconds before the end of its time at which a job is told to stop at the end of its epoch and to queue again. It
    /// must be longer than an epoch takes.
    pub lead: u32,
    /// How often a job queues again by itself at most.
    pub requeues: u32,
    /// The largest array; `scontrol show config` tells it as `MaxArraySize`.
    pub largest_array: u32,
}

impl Default for Slurm {
    fn default() -> Self {
        Self {
            partition: None,
            account: None,
            time: None,
            gpus: 0,
            cpus: 1,
            memory: None,
            at_once: None,
            flags: Vec::new(),
            setup: Vec::new(),
            lead: 120,
            requeues: 50,
            largest_array: 1000,
        }
    }
}

/// What a task asks of `HyperQueue`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HyperQueue {
    /// Cores of each task, and threads that it computes with.
    pub cpus: u32,
    /// GPUs of each task, as the resource `gpus/nvidia` of the workers.
    pub gpus: u32,
    /// The time that a worker must have left to be given a task, such as `30m`. Left out, none.
    pub time: Option<String>,
    /// How many workers may be lost while they are at a task before it is given up.
    pub crash_limit: u32,
    /// Lines of shell that come before the work in each task, such as `module load cuda`.
    pub setup: Vec<String>,
}

impl Default for HyperQueue {
    fn default() -> Self {
        Self { cpus: 1, gpus: 0, time: None, crash_limit: 5, setup: Vec::new() }
    }
}

impl Clusters {
    fn check(&self) -> Vec<Problem> {
        let slurm = self.slurm.check().into_iter().map(|it| it.within("slurm"));
        let hyperqueue = self.hyperqueue.check().into_iter().map(|it| it.within("hyperqueue"));
        slurm.chain(hyperqueue).collect()
    }
}

impl Slurm {
    fn check(&self) -> Vec<Problem> {
        let flags = self.flags.iter().enumerate().filter_map(|(at, it)| {
            let key = format!("flags.{at}");
            match it.split(['=', ' ']).next().unwrap_or_default() {
                own if OWN_FLAGS.contains(&own) => {
                    Some(Problem::new(key, format!("`{own}` is said by Ferrite itself")))
                }
                _ if !it.starts_with('-') || it.contains('\n') => {
                    Some(Problem::new(key, "must be one option of `sbatch`, such as `--qos=long`"))
                }
                _ => None,
            }
        });
        let texts = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("time", &self.time),
            ("memory", &self.memory),
        ];
        let words = texts.into_iter().filter_map(|(key, it)| {
            let is_word = |it: &String| !it.is_empty() && !it.contains(char::is_whitespace);
            Problem::unless(it.as_ref().is_none_or(is_word), key, "must be one word")
        });
        let seconds = self.time.as_deref().map(seconds);
        let known = seconds.is_none_or(|it| it.is_some());
        let long = seconds.flatten().is_none_or(|it| it >= 2 * u64::from(self.lead));
        let numbers = [
            Problem::unless(self.cpus > 0, "cpus", "must be at least 1"),
            Problem::unless(self.at_once != Some(0), "at_once", "must be at least 1"),
            Problem::unless(self.largest_array > 0, "largest_array", "must be at least 1"),
            Problem::unless(
                known,
                "time",
                "must be a time as Slurm writes it: `30` minutes, `2:00:00`, `1-12`",
            ),
            Problem::unless(
                long,
                "lead",
                "must be at most half of `time`, or jobs would be stopped before they have done anything",
            ),
        ];
        words.chain(flags).chain(numbers.into_iter().flatten()).collect()
    }
}

impl HyperQueue {
    fn check(&self) -> Vec<Problem> {
        let numbers = [
            Problem::unless(self.cpus > 0, "cpus", "must be at least 1"),
            Problem::unless(self.crash_limit > 0, "crash_limit", "must be at least 1"),
        ];
        numbers.into_iter().flatten().collect()
    }
}

/// Options of `sbatch` without which jobs would not be found again, or not do what they are to do.
const OWN_FLAGS: [&str; 14] = [
    "--array",
    "-a",
    "--comment",
    "--job-name",
    "-J",
    "--dependency",
    "-d",
    "--output",
    "-o",
    "--signal",
    "--chdir",
    "-D",
    "--wrap",
    "--no-requeue",
];

/// The seconds in a time as Slurm writes it: `minutes`, `minutes:seconds`, `hours:minutes:seconds`, `days-hours`,
/// `days-hours:minutes`, `days-hours:minutes:seconds`. None if it is none.
fn seconds(text: &str) -> Option<u64> {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().ok()?), rest),
        None => (None, text),
    };
    let parts = rest.split(':').map(|it| it.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
    let below = match (days, &parts[..]) {
        (None, [minutes]) => minutes * 60,
        (None, [minutes, seconds]) => minutes * 60 + seconds,
        (Some(_), [hours]) => hours * 3600,
        (Some(_), [hours, minutes]) => hours * 3600 + minutes * 60,
        (_, [hours, minutes, seconds]) => hours * 3600 + minutes * 60 + seconds,
        _ => return None,
    };
    Some(days.unwrap_or(0) * 86_400 + below)
}

/// The files that are read, as far as they are there: that of the user, and [`FILE`] in the folder in which `ferrite` is
/// called, which wins.
pub fn files() -> Vec<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let home = || set("HOME").map(|it| it.join(".config"));
    let user = set("XDG_CONFIG_HOME").or_else(home).map(|it| it.join("ferrite/config.toml"));
    user.into_iter().chain([PathBuf::from(FILE)]).filter(|it| it.exists()).collect()
}

/// Reads the settings in the files at `paths`, of which later ones win key by key.
///
/// # Errors
/// [`Error::Config`] with every problem of every file; [`Error::File`] if one cannot be read.
pub fn read(paths: &[PathBuf]) -> Result<Clusters> {
    let schema = Schema::of::<Clusters>();
    let mut problems = Problems::default();
    let mut all = Table::new();
    for path in paths {
        if let Some(table) = table(path, &schema, &mut problems)? {
            merge(&mut all, table, &schema, "");
        }
    }
    problems.finish()?;
    Ok(typed(all).expect("it was compared with its schema"))
}

/// The settings in the file at `path`; none if something is wrong with it, which is told.
fn table(path: &Path, schema: &Schema, problems: &mut Problems) -> Result<Option<Table>> {
    let content = match text_of(path) {
        Ok(content) => content,
        Err(NoText::Refused(error)) => return Err(Error::file("cannot read", path)(error)),
        Err(NoText::Unfit(what)) => {
            let file = problems.file(path, "");
            problems.tell_span(file, 0..0, &what);
            return Ok(None);
        }
    };
    let file = problems.file(path, &content);
    let (parsed, mut errors) = DeTable::parse_recoverable(&content);
    let table = toml::from_str::<Table>(&content).map_err(|it| errors.push(it));
    let first = errors.iter().min_by_key(|it| it.span().map(|it| it.start));
    if let Some(first) = first {
        let span = first.span().unwrap_or_default();
        problems.tell_span(file, span, in_other_words(first.message()));
        return Ok(None);
    }
    let (table, places) = (table.unwrap_or_default(), places(parsed.get_ref(), file));
    let mut wrong = schema.problems(&table);
    if wrong.is_empty() {
        match typed::<Clusters>(table.clone()) {
            Ok(clusters) => wrong = clusters.check(),
            Err(message) => wrong.push(Problem::new("", message)),
        }
    }
    for it in &wrong {
        problems.tell(file, &places, it);
    }
    Ok(wrong.is_empty().then_some(table))
}

fn typed<T: DeserializeOwned>(table: Table) -> Result<T, String> {
    table.try_into().map_err(|it: toml::de::Error| it.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_texts(texts: &[&str]) -> Result<Clusters> {
        let folder = tempfile::tempdir().unwrap();
        let paths = texts.iter().enumerate().map(|(at, text)| {
            let path = folder.path().join(format!("{at}.toml"));
            std::fs::write(&path, text).unwrap();
            path
        });
        read(&paths.collect::<Vec<_>>())
    }

    #[test]
    fn later_files_win_key_by_key_and_nothing_has_to_be_written() {
        assert_eq!(read_texts(&[]).unwrap(), Clusters::default());
        let user = "[slurm]\npartition = \"gpu\"\ngpus = 1\nflags = [\"--qos=long\"]";
        let clusters =
            read_texts(&[user, "[slurm]\npartition = \"cpu\"\ntime = \"1-12\""]).unwrap();
        let slurm = clusters.slurm;
        assert_eq!((slurm.partition.as_deref(), slurm.gpus), (Some("cpu"), 1));
        assert_eq!((slurm.flags, slurm.cpus), (vec!["--qos=long".to_owned()], 1));
        assert_eq!(clusters.hyperqueue, HyperQueue::default());
    }

    #[test]
    fn every_problem_is_told_at_its_place() {
        let check = |text: &str, wanted: &[(&str, &str)]| {
            let Err(Error::Config { files }) = read_texts(&[text]) else { panic!("{text}") };
            let told = files[0].problems.iter().map(|it| {
                (&files[0].source.inner()[it.offset()..it.offset() + it.len()], it.label().unwrap())
            });
            let told: Vec<_> = told.collect();
            assert_eq!(told.len(), wanted.len(), "{told:?}");
            for ((place, says), (at, part)) in told.iter().zip(wanted) {
                assert!(place == at && says.contains(part), "{place}: {says}");
            }
        };
        check("[slrum]\n", &[("slrum", "did you mean `slurm`?")]);
        check("[slurm]\npartitoin = \"gpu\"", &[("partitoin", "did you mean `partition`?")]);
        check("[slurm]\ntime = 30", &[("30", "must be a string")]);
        check(
            "[slurm]\ntime = \"2 h\"\ncpus = 0\nflags = [\"--array=3\", \"qos\"]",
            &[
                ("\"2 h\"", "must be one word"),
                ("\"2 h\"", "as Slurm writes it"),
                ("0", "at least 1"),
                ("\"--array=3\"", "by Ferrite itself"),
                ("\"qos\"", "one option"),
            ],
        );
        check("[slurm]\ntime = \"3\"\nlead = 100", &[("100", "at most half of `time`")]);
        check("[hyperqueue]\ncrash_limit = 0", &[("0", "at least 1")]);
        check("[slurm", &[("", "")]);
    }

    #[test]
    fn times_are_read_as_slurm_reads_them() {
        let minutes = ["30", "30:30", "2:00:00", "1-12", "1-0:30", "1-00:00:01"].map(seconds);
        let expected = [1800, 1830, 7200, 129_600, 88_200, 86_401];
        assert_eq!(minutes.map(Option::unwrap), expected);
        assert_eq!(["", "x", "1:2:3:4", "1-", "-1", "2h"].map(seconds), [None; 6]);
    }
}
