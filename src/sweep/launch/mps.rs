//! NVIDIA's Multi-Process Service (MPS): kernels of several workers run on one GPU at the same time, which otherwise take turns
//! by slices of time (<https://docs.nvidia.com/deploy/mps/>).
//!
//! A daemon of the user's own that runs already is used as it is. Else one is begun for this sweep, with pipes and logs in a
//! private folder, by a guardian: a shell whose standard input this process holds. When that closes, because this process
//! ended in whatever way, the guardian ends the daemon and removes the folder. Where the guardian was killed as well, the next
//! sweep does it, which finds the folder without anybody who holds its lock. Nothing is changed on the device.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ferrite_core::files::remove_folder;
use ferrite_core::store::lock::{Lock, is_locked, lock};

/// NVIDIA's program.
const CONTROL: &str = "nvidia-cuda-mps-control";

/// The variable that leads CUDA and [`CONTROL`] to a daemon's pipes.
const PIPES: &str = "CUDA_MPS_PIPE_DIRECTORY";

/// The variable that says where a daemon's logs are.
const LOGS: &str = "CUDA_MPS_LOG_DIRECTORY";

/// How private folders begin.
const FOLDER: &str = "ferrite-mps-";

/// How long the control program may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Begins the daemon, says so, waits until nobody holds its standard input, and ends the daemon. Workers that still run then
/// stop by themselves, for which they have two minutes.
const GUARDIAN: &str = r#"
"$1" -d >"$2/said" 2>&1 </dev/null || { echo refused; exit 1; }
echo ready
exec >/dev/null 2>&1
cat
echo "quit -t 120" | "$1"
rm -rf "$2"
"#;

/// A daemon that workers share a GPU by, for as long as this lives.
#[derive(Debug)]
pub struct Mps {
    /// What leads workers to it; nothing where it is the user's own, to which everybody is led.
    pub variables: Vec<(&'static str, PathBuf)>,
    guardian: Option<Guardian>,
}

/// The shell that ends the daemon.
#[derive(Debug)]
struct Guardian {
    shell: Child,
    lifeline: Option<ChildStdin>,
    _lock: Lock,
}

/// Where NVIDIA's programs and private folders are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder of NVIDIA's programs; empty where the PATH leads to them.
    pub programs: PathBuf,
    /// Where private folders are made.
    pub temporary: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        /// Longer than this, a socket below it has no place in an address of the system's (`sun_path`, 108 bytes).
        const LONGEST: usize = 60;
        let temporary = Some(std::env::temp_dir()).filter(|it| it.as_os_str().len() <= LONGEST);
        let temporary = temporary.unwrap_or_else(|| "/tmp".into());
        Self { programs: PathBuf::new(), temporary }
    }
}

impl Mps {
    /// Finds a daemon or begins one. Where none can be had, the error says why, as the end of a sentence.
    ///
    /// # Errors
    /// The reason.
    pub fn begin(places: &Places) -> Result<Self, String> {
        let control = places.programs.join(CONTROL);
        match ask(&control, "get_server_list", None) {
            Ok(true) => return Ok(Self { variables: Vec::new(), guardian: None }),
            Ok(false) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(format!("there is no `{CONTROL}` on this computer"));
            }
            Err(error) => return Err(format!("`{CONTROL}` cannot be used: {error}")),
        }
        if compute_mode(places).is_some_and(|it| it == "Prohibited") {
            return Err("the GPU is in the compute mode `Prohibited`".into());
        }
        remove_dead(places, &control);
        let folder = private_folder(places).map_err(|it| format!("no folder for it: {it}"))?;
        Self::of_its_own(&control, &folder).inspect_err(|_| drop(remove_folder(&folder)))
    }

    /// Whether it is a daemon of the user's own.
    pub fn is_users(&self) -> bool {
        self.guardian.is_none()
    }

    /// Begins a daemon whose pipes and logs lie in `folder`.
    fn of_its_own(control: &Path, folder: &Path) -> Result<Self, String> {
        let lock = lock(&folder.join("lock"), &mut |_| Ok(())).map_err(|it| it.to_string())?;
        let variables = vec![(PIPES, folder.join("pipe")), (LOGS, folder.join("log"))];
        let mut shell = Command::new("sh")
            .args(["-c", GUARDIAN, "ferrite"])
            .args([control, folder])
            .envs(variables.iter().map(|(name, path)| (name, path)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C is for the sweep, whose workers still need the daemon until they have stopped.
            .process_group(0)
            .spawn()
            .map_err(|it| format!("`sh` cannot be started: {it}"))?;
        let lifeline = shell.stdin.take();
        let said = shell.stdout.take();
        let guardian = Guardian { shell, lifeline, _lock: lock };
        let mut first = String::new();
        let _ = said.map(BufReader::new).map(|mut it| it.read_line(&mut first));
        if first.trim() != "ready" {
            let said = std::fs::read_to_string(folder.join("said")).unwrap_or_default();
            let last = said.lines().last().unwrap_or("it says nothing").trim();
            return Err(format!("`{CONTROL} -d` refuses: {last}"));
        }
        match ask(control, "get_server_list", Some(&folder.join("pipe"))) {
            Ok(true) => Ok(Self { variables, guardian: Some(guardian) }),
            _ => Err(format!("the daemon of `{CONTROL}` does not answer")),
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The daemon ends at once where no worker is left. Else its guardian waits for them alone.
        let _ = ended(&mut self.shell);
    }
}

/// Whether a daemon takes `command`: that of `pipes`, else the one that the user's own variable or CUDA's default leads to.
fn ask(control: &Path, command: &str, pipes: Option<&Path>) -> std::io::Result<bool> {
    let mut asking = Command::new(control);
    asking.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(pipes) = pipes {
        asking.env(PIPES, pipes);
    }
    let mut asking = asking.spawn()?;
    if let Some(mut input) = asking.stdin.take() {
        // One that is gone already says so by how it ended.
        let _ = writeln!(input, "{command}");
    }
    if let Some(status) = ended(&mut asking)? {
        return Ok(status.success());
    }
    asking.kill()?;
    asking.wait()?;
    Ok(false)
}

/// How `process` ended; none if it does not within [`PATIENCE`].
fn ended(process: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let since = Instant::now();
    loop {
        let status = process.try_wait()?;
        if status.is_some() || since.elapsed() > PATIENCE {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the driver lets processes do with the first GPU, as it says; none where it does not.
fn compute_mode(places: &Places) -> Option<String> {
    let query = ["--query-gpu=compute_mode", "--format=csv,noheader"];
    let program = places.programs.join("nvidia-smi");
    let said = String::from_utf8(Command::new(program).args(query).output().ok()?.stdout).ok()?;
    said.lines().next().map(|it| it.trim().to_owned())
}

/// A new folder that only this user can look into.
fn private_folder(places: &Places) -> std::io::Result<PathBuf> {
    let mut number = 0;
    loop {
        let name = format!("{FOLDER}{}-{number}", std::process::id());
        let folder = places.temporary.join(name);
        let mut private = std::fs::DirBuilder::new();
        match private.mode(0o700).create(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            made => {
                made?;
                for it in ["pipe", "log"] {
                    private.create(folder.join(it))?;
                }
                return Ok(folder);
            }
        }
    }
}

/// Ends daemons of sweeps that were killed together with their guardians, and removes their folders. Another user's cannot be
/// looked into, and stay.
fn remove_dead(places: &Places, control: &Path) {
    let entries = std::fs::read_dir(&places.temporary).into_iter().flatten();
    let folders = entries
        .filter_map(std::result::Result::ok)
        .filter_map(|it| it.file_name().to_string_lossy().starts_with(FOLDER).then(|| it.path()));
    for folder in folders {
        let was_held = folder.join("lock").exists();
        if was_held && !is_locked(&folder.join("lock")) {
            let _ = ask(control, "quit -t 1", Some(&folder.join("pipe")));
            let _ = remove_folder(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A stand-in for NVIDIA's program: its daemon is a process that sleeps, whose number lies among the pipes. Without the
    /// variable it looks among those of `default`.
    const STAND_IN: &str = r#"#!/bin/bash
here=$(dirname "$0")
pipes=${CUDA_MPS_PIPE_DIRECTORY:-$here/default}
if [[ $1 == -d ]]; then
    if [[ -e $here/refuses ]]; then cat "$here/refuses"; exit 1; fi
    sleep 60 >/dev/null 2>&1 </dev/null &
    echo $! | tee "$pipes/daemon" >>"$here/begun"
    exit
fi
read -r command
pid=$(cat "$pipes/daemon" 2>/dev/null) && kill -0 "$pid" 2>/dev/null || exit 1
echo "$command" >>"$here/heard"
[[ $command != quit* ]] || { kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done; }
"#;

    fn places(folder: &Path) -> Places {
        let program = folder.join(CONTROL);
        std::fs::write(&program, STAND_IN).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir_all(folder.join("t")).unwrap();
        Places { programs: folder.to_owned(), temporary: folder.join("t") }
    }

    /// The daemons that were begun and still run.
    fn running(places: &Places) -> usize {
        let begun = std::fs::read_to_string(places.programs.join("begun")).unwrap_or_default();
        let runs = |it: &&str| Path::new("/proc").join(it).exists();
        begun.lines().filter(runs).count()
    }

    fn folders(places: &Places) -> usize {
        std::fs::read_dir(&places.temporary).unwrap().count()
    }

    /// Waits until no daemon runs and no folder is left.
    fn wait_for_the_end(places: &Places) {
        let since = Instant::now();
        while running(places) + folders(places) > 0 {
            assert!(since.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_daemon_is_begun_in_a_private_folder_and_ends_with_the_sweep() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let mps = Mps::begin(&places).unwrap();
        let (name, pipes) = &mps.variables[0];
        assert!(*name == PIPES && pipes.starts_with(&places.temporary) && pipes.is_dir());
        let private = pipes.parent().unwrap().metadata().unwrap().permissions().mode();
        assert_eq!((running(&places), private & 0o777), (1, 0o700));
        // Another sweep has one of its own, and leaves this one alone.
        let other = Mps::begin(&places).unwrap();
        assert_eq!((running(&places), folders(&places)), (2, 2));
        drop(other);
        assert_eq!((running(&places), folders(&places)), (1, 1));
        drop(mps);
        assert_eq!((running(&places), folders(&places)), (0, 0));
    }

    #[test]
    fn a_daemon_of_the_users_own_is_used_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        std::fs::create_dir(folder.path().join("default")).unwrap();
        let program = folder.path().join(CONTROL);
        assert!(Command::new(&program).arg("-d").status().unwrap().success());
        let mps = Mps::begin(&places).unwrap();
        assert!(mps.is_users() && mps.variables.is_empty() && folders(&places) == 0);
        drop(mps);
        assert_eq!(running(&places), 1);
        assert!(ask(&program, "quit", None).unwrap());
    }

    #[test]
    fn a_daemon_ends_when_its_sweep_is_killed_or_at_the_next_one_if_its_guardian_is_killed_too() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        // What the system does to a process that is killed: it closes its files.
        let mut killed = Mps::begin(&places).unwrap().guardian.unwrap();
        killed.lifeline = None;
        wait_for_the_end(&places);
        drop(killed);
        let mut killed = Mps::begin(&places).unwrap().guardian.unwrap();
        killed.shell.kill().unwrap();
        killed.shell.wait().unwrap();
        drop(killed);
        assert_eq!((running(&places), folders(&places)), (1, 1));
        drop(Mps::begin(&places).unwrap());
        assert_eq!((running(&places), folders(&places)), (0, 0));
    }

    #[test]
    fn where_none_can_be_had_it_is_said_why() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = Places { programs: folder.path().join("no"), temporary: "/tmp".into() };
        let why = Mps::begin(&nothing).unwrap_err();
        assert_eq!(why, "there is no `nvidia-cuda-mps-control` on this computer");
        let places = places(folder.path());
        std::fs::write(folder.path().join("refuses"), "An instance is starting\n").unwrap();
        let why = Mps::begin(&places).unwrap_err();
        assert_eq!(why, "`nvidia-cuda-mps-control -d` refuses: An instance is starting");
        assert_eq!(folders(&places), 0);
        let smi = folder.path().join("nvidia-smi");
        std::fs::write(&smi, "#!/bin/sh\necho Prohibited\n").unwrap();
        std::fs::set_permissions(&smi, std::fs::Permissions::from_mode(0o755)).unwrap();
        let why = Mps::begin(&places).unwrap_err();
        assert_eq!(why, "the GPU is in the compute mode `Prohibited`");
    }
}
