//! Who worked when: the steps of every run over the time of the sweep.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ferrite_core::digits::counted;
use ferrite_core::store::record::{Record, Work};

use crate::format;
use crate::report::figures::{Figure, figure};
use crate::report::plot::gantt::{Bar, Gantt, Lane};
use crate::report::plot::{Chart, Style};
use crate::study::Study;

/// How many runs have a lane each; more share the lanes of workers.
const MOST_LANES: usize = 60;
/// A pause is left out if it is longer than this share of the time in which something ran, and than these seconds.
const PAUSE: (f64, f64) = (0.1, 10.0);

/// A bar for each step of each run; none where no run says when it did what.
pub(in crate::report) fn schedule(study: &Study<'_>) -> Option<Figure> {
    let mut records: Vec<&Record> =
        study.runs().map(|it| it.record).filter(|it| !it.facts.work.is_empty()).collect();
    records.sort_by_key(|it| (began(it), it.name()));
    let made = made(&records);
    let clock = Clock::of(records.iter().flat_map(|it| &it.facts.work));
    let kinds = kinds(&records);
    let few = records.len() <= MOST_LANES;
    let lanes = if few {
        let lane = |it: &&Record| {
            let bars = it.facts.work.iter().map(|work| bar(work, &kinds, &made, &clock));
            Lane { name: name(it), bars: bars.collect() }
        };
        records.iter().map(lane).collect()
    } else {
        by_worker(&records, &clock)
    };
    let reused = || records.iter().flat_map(|it| &it.facts.work).filter(|it| it.reused);
    let saved: f64 = reused().filter_map(|it| made.get(it.key.as_str())).sum();
    let mut caption = if few {
        "A row is a run and a bar one of its steps, from when it began until it was done. Hatched is what an earlier run \
         of this study had made, drawn where it was worth half a second at least."
            .to_owned()
    } else {
        format!(
            "A bar is one of {} runs, each in the first row that was free when it began: so many ran beside each other.",
            records.len()
        )
    };
    if saved > 0.0 {
        let results =
            counted(reused().filter(|it| made.contains_key(it.key.as_str())).count(), "result");
        let _ =
            write!(caption, " {results} of earlier runs saved {} in all.", format::duration(saved));
    }
    let continued = continued_seconds(&records);
    if continued > 0.0 {
        let _ = write!(
            caption,
            " Stages that went on from shorter ones, as their names say, saved {} of training.",
            format::duration(continued)
        );
    }
    if let Some(longest) = clock.pauses.iter().map(|it| it.1 - it.0).reduce(f64::max) {
        let n = counted(clock.pauses.len(), "pause");
        let _ = write!(
            caption,
            " Dotted upright lines stand for {n} without any run, the longest of {}.",
            format::duration(longest)
        );
    }
    let kinds = kinds.iter().enumerate().map(|(at, it)| (word(it).to_owned(), Style(at)));
    let chart = Gantt {
        title: "What ran when".into(),
        lanes,
        kinds: if few { kinds.collect() } else { vec![("run".into(), Style(0))] },
        pauses: clock.pauses.iter().map(|it| (clock.at(it.0), it.1 - it.0)).collect(),
    };
    (!records.is_empty()).then(|| figure("schedule", Chart::Gantt(chart), caption))
}

/// Seconds that the epochs had taken which runs did not train themselves, where they trained the rest.
fn continued_seconds(records: &[&Record]) -> f64 {
    let works =
        records.iter().flat_map(|record| record.facts.work.iter().map(move |it| (record, it)));
    let own = works.filter(|(_, work)| !work.reused && work.continued > 0 && !work.key.is_empty());
    let stages = own.filter_map(|(record, work)| {
        let name = work.stage.as_ref()?;
        record.facts.stages.iter().find(|it| it.start.stage == *name)?.continued.as_ref()
    });
    stages.map(|it| it.seconds).sum()
}

/// What a run is called, without the digits of its key.
fn name(record: &Record) -> String {
    let name = record.name();
    name.rsplit_once('-').map_or_else(|| name.clone(), |it| it.0.to_owned())
}

fn began(record: &Record) -> u64 {
    record.facts.work.iter().map(|it| it.from_ms).min().unwrap_or(record.began_ms)
}

/// Seconds that each result took whoever made it, by its key.
fn made<'a>(records: &[&'a Record]) -> BTreeMap<&'a str, f64> {
    let all = records.iter().flat_map(|it| &it.facts.work).filter(|it| !it.reused);
    all.filter(|it| !it.key.is_empty()).map(|it| (it.key.as_str(), it.seconds())).collect()
}

/// The kinds of steps, in the order in which a run does them.
fn kinds<'a>(records: &[&'a Record]) -> Vec<&'a str> {
    let mut kinds = Vec::new();
    for it in records.iter().flat_map(|it| &it.facts.work) {
        if !kinds.contains(&it.step.as_str()) {
            kinds.push(it.step.as_str());
        }
    }
    kinds
}

/// A kind of step in the words of who reads about it.
fn word(kind: &str) -> &str {
    match kind {
        "dataset" => "reading images",
        "detections" => "finding faces",
        "faces" => "placing faces",
        "stage" => "training",
        "evaluate" => "testing",
        other => other,
    }
}

fn bar(work: &Work, kinds: &[&str], made: &BTreeMap<&str, f64>, clock: &Clock) -> Bar {
    let from = match work.continued {
        0 => String::new(),
        epochs => format!(" from epoch {} on", epochs + 1),
    };
    let named = |it: &String| format!("{} {it}{from}", word(&work.step));
    Bar {
        label: work.stage.as_ref().map_or_else(|| word(&work.step).to_owned(), named),
        kind: kinds.iter().position(|it| *it == work.step).unwrap_or(0),
        from: clock.at(seconds(work.from_ms)),
        until: clock.at(seconds(work.until_ms)),
        reused: work.reused,
        saved: made.get(work.key.as_str()).copied().filter(|_| work.reused),
    }
}

/// Runs in the first lane that is free when they begin.
fn by_worker(records: &[&Record], clock: &Clock) -> Vec<Lane> {
    let mut lanes = Vec::<(u64, Vec<Bar>)>::new();
    for record in records {
        let work = &record.facts.work;
        let (from, until) = (began(record), work.iter().map(|it| it.until_ms).max().unwrap_or(0));
        let bar = Bar {
            label: record.name(),
            kind: 0,
            from: clock.at(seconds(from)),
            until: clock.at(seconds(until)),
            reused: false,
            saved: None,
        };
        match lanes.iter_mut().find(|it| it.0 <= from) {
            Some((free, bars)) => {
                *free = until;
                bars.push(bar);
            }
            None => lanes.push((until, vec![bar])),
        }
    }
    let lane =
        |(at, (_, bars)): (usize, (u64, Vec<Bar>))| Lane { name: format!("{}", at + 1), bars };
    lanes.into_iter().enumerate().map(lane).collect()
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// The time of the sweep without its long pauses.
struct Clock {
    /// Seconds since 1970 at which it begins.
    start: f64,
    /// From when to when nothing ran.
    pauses: Vec<(f64, f64)>,
}

impl Clock {
    fn of<'a>(all: impl Iterator<Item = &'a Work>) -> Self {
        let mut spans: Vec<_> = all.map(|it| (seconds(it.from_ms), seconds(it.until_ms))).collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let start = spans.first().map_or(0.0, |it| it.0);
        let (mut until, mut busy, mut gaps) = (start, 0.0, Vec::new());
        for (from, end) in spans {
            if from > until {
                gaps.push((until, from));
            }
            busy += (end - until.max(from)).max(0.0);
            until = until.max(end);
        }
        let least = (busy * PAUSE.0).max(PAUSE.1);
        gaps.retain(|it| it.1 - it.0 > least);
        Self { start, pauses: gaps }
    }

    /// `moment` in seconds since the start, without the pauses before it.
    fn at(&self, moment: f64) -> f64 {
        let before = self.pauses.iter().map(|it| (moment.min(it.1) - it.0).max(0.0));
        (moment - self.start - before.sum::<f64>()).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::many;
    use crate::report::tests::in_study;

    fn work(from: u64, until: u64) -> Work {
        let (step, key) = ("stage".into(), String::new());
        Work {
            step,
            stage: None,
            key,
            from_ms: from * 1000,
            until_ms: until * 1000,
            reused: false,
            continued: 0,
        }
    }

    #[test]
    fn a_long_pause_takes_no_room_and_a_short_one_does() {
        let all = [work(100, 140), work(145, 200), work(10_200, 10_300)];
        let clock = Clock::of(all.iter());
        assert_eq!(clock.pauses, [(200.0, 10_200.0)]);
        assert_eq!(
            [100.0, 145.0, 200.0, 5000.0, 10_300.0].map(|it| clock.at(it)),
            [0.0, 45.0, 100.0, 100.0, 200.0]
        );
    }

    #[test]
    fn few_runs_have_rows_of_their_own_and_many_share_those_of_workers() {
        in_study(|runs| {
            let drawn = |n: usize| {
                let records = many(runs, n);
                let figure = schedule(&Study::of(&records, &[], runs)).unwrap();
                let Chart::Gantt(chart) = figure.chart else { panic!("no Gantt chart") };
                (chart, figure.caption)
            };
            let (chart, caption) = drawn(3);
            assert_eq!((chart.lanes.len(), chart.lanes[0].bars.len()), (3, 2));
            assert!(caption.contains("2 results of earlier runs saved 4.0 s in all"), "{caption}");
            let (chart, _) = drawn(90);
            assert!(chart.lanes.len() < 90, "{}", chart.lanes.len());
            assert_eq!(chart.lanes.iter().map(|it| it.bars.len()).sum::<usize>(), 90);
            let apart = |it: &Lane| it.bars.windows(2).all(|it| it[0].until <= it[1].from + 1e-6);
            assert!(chart.lanes.iter().all(apart), "bars of one row overlap");
        });
    }
}
