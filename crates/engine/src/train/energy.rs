//! What this process draws while it trains, by the counters of the machine.
//!
//! Processors of Intel and AMD count what each of them and its memory drew (RAPL, <https://docs.kernel.org/power/powercap/powercap.html>);
//! most systems show that to the administrator alone. NVIDIA's GPUs since Volta count what the board drew (NVML). Neither knows
//! processes, so each counter is divided: among processes by the time that processors worked for them, as Scaphandre does
//! (<https://hubblo-org.github.io/scaphandre-documentation/explanations/how-scaph-computes-per-process-power-consumption.html>),
//! and among those that compute on a GPU in equal parts. What cannot be read is not known, and nothing is guessed in its place.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ferrite_core::device::Device;
use ferrite_core::event::energy::Energy;
use nvml_wrapper::Nvml;

/// Where Linux shows its counters.
#[derive(Debug)]
struct Places {
    powercap: PathBuf,
    proc: PathBuf,
}

/// Counts from [`Meter::begin`] to [`Meter::end`].
pub(in crate::train) struct Meter {
    zones: Vec<Zone>,
    proc: PathBuf,
    gpu: Option<Gpu>,
    /// When it began.
    times: Option<Times>,
    board: Option<u64>,
}

/// A processor, or its memory.
struct Zone {
    counter: PathBuf,
    /// The counter begins anew behind this, in microjoules.
    range: u64,
    /// What it said last, in microjoules.
    last: u64,
    /// Since the beginning, in microjoules; none once it could not be read.
    drawn: Option<u64>,
}

/// How long processors worked, in ticks of the system.
#[derive(Clone, Copy)]
struct Times {
    /// For this process.
    own: u64,
    /// For all.
    all: u64,
}

/// What a GPU says of itself.
struct Gpu {
    /// What its board drew since the driver was loaded, in millijoules.
    drawn: Box<dyn Fn() -> Option<u64>>,
    /// How many processes compute on it.
    processes: Box<dyn Fn() -> Option<usize>>,
}

impl Meter {
    /// Of what trains on `device`, which this process has begun to use.
    pub(in crate::train) fn of(device: Device) -> Self {
        let places = Places { powercap: "/sys/class/powercap".into(), proc: "/proc".into() };
        let gpu = matches!(device, Device::Cuda(_)).then(|| Gpu::of_this_process(&places.proc));
        Self::at(places, gpu.flatten())
    }

    fn at(places: Places, gpu: Option<Gpu>) -> Self {
        Self { zones: zones(&places.powercap), proc: places.proc, gpu, times: None, board: None }
    }

    /// Begins to count.
    pub(in crate::train) fn begin(&mut self) {
        self.look();
        for zone in &mut self.zones {
            zone.drawn = zone.drawn.map(|_| 0);
        }
        self.times = if self.zones.is_empty() { None } else { times(&self.proc) };
        self.board = self.gpu.as_ref().and_then(|it| (it.drawn)());
    }

    /// Reads what begins anew: the counters of a large processor do so after minutes, so this is called every few seconds.
    pub(in crate::train) fn look(&mut self) {
        for zone in &mut self.zones {
            zone.look();
        }
    }

    /// What this process drew since [`Meter::begin`]; none if the machine tells nothing of it.
    pub(in crate::train) fn end(&mut self) -> Option<Energy> {
        self.look();
        let energy = Energy { processor: self.of_processors(), gpu: self.of_gpu() };
        (energy.processor.is_some() || energy.gpu.is_some()).then_some(energy)
    }

    fn of_processors(&self) -> Option<f64> {
        let (before, now) = (self.times?, times(&self.proc)?);
        let (own, all) = (now.own.checked_sub(before.own)?, now.all.checked_sub(before.all)?);
        let drawn = self.zones.iter().map(|it| it.drawn).sum::<Option<u64>>()?;
        // Both are rounded to ticks.
        let share = if all == 0 { 0.0 } else { (own as f64 / all as f64).min(1.0) };
        Some(drawn as f64 * 1e-6 * share)
    }

    fn of_gpu(&self) -> Option<f64> {
        let gpu = self.gpu.as_ref()?;
        let drawn = (gpu.drawn)()?.checked_sub(self.board?)?;
        Some(drawn as f64 * 1e-3 / (gpu.processes)()?.max(1) as f64)
    }
}

impl Zone {
    fn look(&mut self) {
        let Some(now) = number(&self.counter) else {
            self.drawn = None;
            return;
        };
        let since = if now >= self.last { now - self.last } else { now + self.range - self.last };
        self.last = now;
        self.drawn = self.drawn.map(|it| it + since);
    }
}

/// The counters that this process may read: of each processor, and of its memory where that counts for itself. Within a processor's
/// there are others (`core`, `uncore`), `psys` counts all again, and so does `intel-rapl-mmio`.
fn zones(powercap: &Path) -> Vec<Zone> {
    let Ok(entries) = std::fs::read_dir(powercap) else { return Vec::new() };
    let folders = entries.filter_map(|it| Some(it.ok()?.path()));
    let folders = folders.filter(|it| {
        let name = it.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of = std::fs::read_to_string(it.join("name")).unwrap_or_default();
        name.starts_with("intel-rapl:") && (of.starts_with("package") || of.trim() == "dram")
    });
    let zone = |it: PathBuf| {
        let (counter, range) = (it.join("energy_uj"), number(&it.join("max_energy_range_uj"))?);
        Some(Zone { last: number(&counter)?, counter, range, drawn: Some(0) })
    };
    folders.filter_map(zone).collect()
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// How long processors have worked, as `proc(5)` says it.
fn times(proc: &Path) -> Option<Times> {
    let own = std::fs::read_to_string(proc.join("self/stat")).ok()?;
    // The name of the program may hold anything; behind it stand the state and ten numbers before these two.
    let own = own.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    let all = std::fs::read_to_string(proc.join("stat")).ok()?;
    let mut all = all.lines().next()?.split_whitespace().skip(1).map(|it| it.parse::<u64>().ok());
    let mut next = || all.next().flatten();
    let [user, nice, system] = [next()?, next()?, next()?];
    let ([_idle, _waiting], [interrupts, soft]) = ([next()?, next()?], [next()?, next()?]);
    Some(Times {
        own: own.map(|it| it.parse::<u64>().ok()).sum::<Option<u64>>()?,
        all: user + nice + system + interrupts + soft,
    })
}

impl Gpu {
    /// The GPU on which this process computes: the one that lists it. Where none does, because the process has another number
    /// inside a container, it is the only one, or not known.
    fn of_this_process(proc: &Path) -> Option<Self> {
        static NVML: LazyLock<Option<Nvml>> = LazyLock::new(|| Nvml::init().ok());
        let nvml = NVML.as_ref()?;
        let processes = move |index| -> Option<Vec<u32>> {
            let all = nvml.device_by_index(index).ok()?.running_compute_processes().ok()?;
            Some(all.into_iter().map(|it| it.pid).collect())
        };
        let count = nvml.device_count().ok()?;
        let me = std::process::id();
        let lists_this = (0..count).find(|it| processes(*it).is_some_and(|it| it.contains(&me)));
        let index = lists_this.or((count == 1).then_some(0))?;
        let drawn = move || nvml.device_by_index(index).ok()?.total_energy_consumption().ok();
        drawn()?;
        let proc = proc.to_owned();
        let processes = move || Some(computing(&proc, &processes(index)?));
        Some(Self { drawn: Box::new(drawn), processes: Box::new(processes) })
    }
}

/// How many of `processes` compute: the server by which processes share a GPU is listed with them.
fn computing(proc: &Path, processes: &[u32]) -> usize {
    let is_server = |process: &&u32| {
        let name = std::fs::read_to_string(proc.join(format!("{process}/comm")));
        // The system cuts names to 15 letters.
        name.is_ok_and(|it| it.starts_with("nvidia-cuda-mps"))
    };
    processes.iter().filter(|it| !is_server(it)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    /// A machine with two processors, of which one counts its memory for itself, as Linux shows it.
    fn machine() -> (tempfile::TempDir, Places) {
        let folder = tempfile::tempdir().unwrap();
        let zone = |name: &str, of: &str, now: &str| {
            for (file, text) in
                [("name", of), ("energy_uj", now), ("max_energy_range_uj", "1000000000")]
            {
                write(folder.path(), &[(&format!("powercap/{name}/{file}"), text)]);
            }
        };
        zone("intel-rapl:0", "package-0\n", "100\n");
        zone("intel-rapl:0:0", "core\n", "7\n");
        zone("intel-rapl:0:1", "dram\n", "0\n");
        zone("intel-rapl:1", "package-1\n", "999000000\n");
        zone("intel-rapl:2", "psys\n", "0\n");
        zone("intel-rapl-mmio:0", "package-0\n", "100\n");
        write(folder.path(), &[("powercap/intel-rapl/enabled", "1\n")]);
        at_work(folder.path(), 100, 1000);
        let places =
            Places { powercap: folder.path().join("powercap"), proc: folder.path().join("proc") };
        (folder, places)
    }

    /// This process has worked for `own` ticks, and all have for `all`.
    fn at_work(folder: &Path, own: u64, all: u64) {
        let own = format!("7 (a ) 1 (x) R 1 2 3 4 5 6 7 8 9 10 {} 5 99 99 20 0\n", own - 5);
        let all = format!("cpu  {} 10 10 77777 888 10 20 0 0 0\ncpu0 1 1 1 1\n", all - 50);
        write(folder, &[("proc/self/stat", &own), ("proc/stat", &all)]);
    }

    #[test]
    fn a_process_has_the_share_of_the_processors_that_worked_for_it() {
        let (folder, places) = machine();
        let mut meter = Meter::at(places, None);
        meter.begin();
        let counter = |zone: &str| folder.path().join(format!("powercap/{zone}/energy_uj"));
        std::fs::write(counter("intel-rapl:0"), "60000100\n").unwrap();
        std::fs::write(counter("intel-rapl:0:0"), "50000000\n").unwrap();
        std::fs::write(counter("intel-rapl:0:1"), "10000000\n").unwrap();
        // This one began anew, and does so once more.
        std::fs::write(counter("intel-rapl:1"), "9000000\n").unwrap();
        meter.look();
        std::fs::write(counter("intel-rapl:1"), "8000000\n").unwrap();
        at_work(folder.path(), 175, 1100);
        let energy = meter.end().unwrap();
        // 60 J, 10 J of memory, 10 J and 999 J, of which three quarters are its own.
        assert!((energy.processor.unwrap() - 1079.0 * 0.75).abs() < 1e-6, "{energy:?}");
        assert_eq!(energy.gpu, None);
        // It counts anew.
        meter.begin();
        at_work(folder.path(), 180, 1200);
        assert_eq!(meter.end(), Some(Energy { processor: Some(0.0), gpu: None }));
    }

    #[test]
    fn what_cannot_be_read_is_not_known() {
        let (folder, places) = machine();
        let mut meter = Meter::at(places, None);
        meter.begin();
        std::fs::remove_file(folder.path().join("powercap/intel-rapl:1/energy_uj")).unwrap();
        assert_eq!(meter.end(), None);
        let nowhere = Places { powercap: "/nowhere".into(), proc: "/proc".into() };
        let mut meter = Meter::at(nowhere, None);
        meter.begin();
        assert_eq!(meter.end(), None);
    }

    #[test]
    fn the_system_says_how_long_processors_worked() {
        let before = times(Path::new("/proc")).unwrap();
        let began = std::time::Instant::now();
        while began.elapsed().as_millis() < 100 {
            std::hint::black_box(0);
        }
        let after = times(Path::new("/proc")).unwrap();
        assert!(after.own > before.own && after.all > before.all);
    }

    #[test]
    fn processes_that_share_a_gpu_have_equal_parts_of_it() {
        let millijoules = Rc::new(Cell::new(5_000_u64));
        let said = Rc::clone(&millijoules);
        let (folder, places) = machine();
        write(
            folder.path(),
            &[("proc/11/comm", "nvidia-cuda-mps\n"), ("proc/12/comm", "ferrite-engine\n")],
        );
        let proc = places.proc.clone();
        let gpu = Gpu {
            drawn: Box::new(move || Some(said.get())),
            processes: Box::new(move || Some(computing(&proc, &[11, 12, 13, 14, 15]))),
        };
        let mut meter = Meter::at(Places { powercap: "/nowhere".into(), ..places }, Some(gpu));
        meter.begin();
        millijoules.set(13_000);
        assert_eq!(meter.end(), Some(Energy { processor: None, gpu: Some(2.0) }));
    }
}
