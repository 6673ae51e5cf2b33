//! Sweeps that a cluster carries out. Its programs are scripts here: `sbatch` carries out what it is given before it
//! answers, or never. What Slurm and `HyperQueue` themselves do with it is tried by `make test-clusters`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use ferrite_core::event::Kind;
use ferrite_testing::{Place, SMALL, events, logs};

/// Carries out each job of an array, one after the other, and answers with the array's number.
const CARRIES_OUT: &str = r#"
for index in $(seq 0 "${last:-0}"); do
    SLURM_ARRAY_JOB_ID=$number SLURM_ARRAY_TASK_ID=$index SLURM_JOB_ID=$number bash "$script"
done
"#;

/// A folder of programs beside the experiments, and the PATH that leads there first.
fn with_slurm(place: &Place, sbatch: &str, squeue: &str) -> String {
    let program = |name: &str, text: &str| {
        let below = format!("slurm/{name}");
        let head = "#!/bin/bash\nhere=$(dirname \"$0\")\n";
        place.write(&below, format!("{head}{text}"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(place.path(&below), mode).unwrap();
    };
    let begin = r#"
script=${@: -1}
number=$(($(cat "$here/count" 2>/dev/null) + 1)); echo $number >"$here/count"
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\).*/\1/p' "$script")
comment=$(sed -n 's/^#SBATCH --comment=//p' "$script")
for index in $(seq 0 "${last:-0}"); do echo "${number}_$index $comment" >>"$here/jobs"; done
"#;
    program("sbatch", &format!("{begin}{sbatch}\necho $number"));
    program("squeue", squeue);
    program(
        "scancel",
        "echo \"$@\" >>\"$here/cancelled\"; for it; do sed -i \"/^$it /d\" \"$here/jobs\"; done",
    );
    let path = std::env::var("PATH").unwrap();
    format!("{}:{path}", place.path("slurm").display())
}

/// Says of every job that was submitted that it is in this state, for this reason.
fn all_are(state: &str) -> String {
    format!(
        "touch \"$here/jobs\"; while read -r job comment; do echo \"$job|{state}|$comment\"; done <\"$here/jobs\""
    )
}

/// Two experiments with a first stage in common, and a second one that varies.
fn shared() -> String {
    format!(
        "seeds = [0, 1]\n{SMALL}\n[[stages]]\nname = \"more\"\nepochs = 1\n[grid]\n\
         \"stages.more.optimizer.adam.lr\" = [1e-2, 1e-3]\n"
    )
}

#[test]
fn what_a_cluster_carries_out_is_what_a_local_sweep_does_and_nothing_is_made_twice() {
    let settings = "[slurm]\npartition = \"any\"\n";
    let (here, there) = (Place::with(&[("e", &shared())]), Place::with(&[("e", &shared())]));
    here.sweep_well();
    there.write("ferrite.toml", settings);
    let path = with_slurm(&there, CARRIES_OUT, "touch \"$here/jobs\"");
    let told = there.ferrite_with(&[("PATH", &path)], &["sweep", "--executor", "slurm"]);
    told.ends_with(0).says("submitted to Slurm").says("4 trials finished");
    for (a, b) in here.runs().iter().zip(there.runs()) {
        assert_eq!((&a.trial, &a.predictions), (&b.trial, &b.predictions));
        let model = |it: &ferrite_core::store::record::Record| {
            std::fs::read(it.folder.join("model.safetensors")).unwrap()
        };
        assert_eq!(model(a), model(&b));
        assert!(!b.folder.join("queued.json").exists() && b.folder.join("job.log").exists());
    }
    let all = logs(&there.path("runs")).into_iter().flat_map(|it| events(&it));
    let made = all.filter_map(|it| match it.kind {
        Kind::StepReady(it) if !it.reused => Some(it.key),
        _ => None,
    });
    let made: Vec<String> = made.collect();
    let once: BTreeSet<&String> = made.iter().collect();
    assert_eq!(once.len(), made.len(), "{made:?}");
    there
        .ferrite_with(&[("PATH", &path)], &["sweep", "--executor", "slurm"])
        .ends_with(0)
        .says("nothing to submit")
        .says("nothing to do: 4 were finished before");
}

#[test]
fn what_is_queued_is_known_and_not_submitted_again() {
    let place = Place::with(&[("e", SMALL)]);
    let path = with_slurm(&place, "", &all_are("PENDING|Priority"));
    let sweep = || {
        let arguments = ["sweep", "--executor", "slurm", "--detach"];
        place.ferrite_with(&[("PATH", &path)], &arguments)
    };
    sweep().ends_with(0).says("1 job submitted to Slurm").says("another job writes the report");
    sweep().ends_with(0).says("1 job in Slurm from before; nothing else to submit");
    place.ferrite(&["status"]).ends_with(0).says("waiting, slurm 1_0").says("1 run: 1 waiting");
    let told = place.ferrite(&["status", "--json"]);
    assert!(told.out.contains("\"waiting\"") && told.out.contains("\"1_0\""), "{told:#?}");
}

#[test]
fn jobs_are_cancelled_by_the_names_of_their_runs_or_all_of_them() {
    let place = Place::with(&[("e", SMALL), ("f", SMALL), ("g", SMALL)]);
    let path = with_slurm(&place, "", &all_are("PENDING|Priority"));
    let ferrite = |arguments: &[&str]| place.ferrite_with(&[("PATH", &path)], arguments);
    let sweep = || ferrite(&["sweep", "--executor", "slurm", "--detach"]);
    sweep().ends_with(0).says("4 jobs submitted").says("1 of them for what several trials need");
    ferrite(&["stop", "e"]).ends_with(0).says("job cancelled: `e/seed-0");
    ferrite(&["stop", "e"]).ends_with(0).says("none of these is running");
    place.ferrite(&["status"]).says("3 runs: 2 waiting, 1 interrupted");
    let told = ferrite(&["stop", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told.ends_with(0).out).unwrap();
    let cancelled: Vec<_> = told["cancelled"].as_array().unwrap().iter().collect();
    assert!(cancelled.len() == 2 && cancelled[0].as_str().unwrap().starts_with("f/seed-0"));
    ferrite(&["stop"]).ends_with(0).says("no job is queued");
    sweep().ends_with(0).says("4 jobs submitted").says("1 of them for what several trials need");
    // By whatever path a run is named.
    ferrite(&["stop", "./runs/e"]).ends_with(0).says("job cancelled: `e/seed-0");
}

#[test]
fn a_job_that_dies_is_told_with_what_the_cluster_says() {
    for (state, says) in [
        ("TIMEOUT|TimeLimit", "when its time was over (TIMEOUT)"),
        ("OUT_OF_MEMORY|None", "raise `memory` in `[slurm]`"),
    ] {
        let place = Place::with(&[("e", SMALL)]);
        let path = with_slurm(&place, "", &all_are(state));
        let told = place.ferrite_with(&[("PATH", &path)], &["sweep", "--executor", "slurm"]);
        told.ends_with(1).says(says).says("1 of 1 trial was interrupted");
        assert!(place.ferrite(&["status"]).out.contains("interrupted"));
    }
}

#[test]
fn a_cluster_that_is_not_there_or_not_understood_is_told() {
    let place = Place::with(&[("e", SMALL)]);
    let sweep = |executor| place.ferrite(&["sweep", "--executor", executor]);
    if std::process::Command::new("sbatch").arg("--version").output().is_err() {
        sweep("slurm").ends_with(2).says("there is no program `squeue` on this computer");
    }
    place.write("ferrite.toml", "[slurm]\npartitoin = \"gpu\"\n");
    sweep("slurm").ends_with(2).says("did you mean `partition`?");
    let told = place.ferrite(&["sweep", "--executor", "pbs"]);
    told.ends_with(2).says("slurm, hyperqueue");
    place.ferrite(&["sweep", "--detach"]).ends_with(2).says("--executor");
}
