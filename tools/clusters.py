"""Sweeps on throwaway clusters, with Slurm and HyperQueue as they are: `make test-clusters`.

Each cluster is two nodes on this computer, made for the test and taken away behind it. A sweep on it is disturbed while it
runs: a node dies, a job is told that its time is up, a process outlives its job. It must end with the bytes of a sweep that
nothing disturbed and no cluster carried out, and no step may have been made twice.

Slurm wants Debian's `slurm-wlm` and `munge`, HyperQueue its program `hq`; what is not there is said and left out, unless
`--only` asks for it.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Callable, Dict, List, Optional

PROGRAM = Path("target/debug/ferrite")
# Nothing here takes longer on two busy cores.
PATIENCE = 240

# Two seeds and two rates: the data set is shared by four trials, the first stage by two each.
EXPERIMENT = """seeds = [0, 1]
[data]
source = { synthetic = { faces = 120 } }
image_size = 32
[augment]
flip = 0.5
[[stages]]
name = "head"
epochs = 2
batch_size = 16
[[stages]]
name = "all"
trainable = "features.17"
epochs = EPOCHS
batch_size = 16
[grid]
"stages.all.optimizer.adam.lr" = [1e-3, 1e-4]
"""
TRIALS = 4

# Four points, of which two are trained on after one epoch, and one of them after two.
SEARCH = """[data]
source = { synthetic = { faces = 120 } }
image_size = 32
[[stages]]
name = "head"
epochs = 4
batch_size = 16
[search]
points = 4
[search.space]
"stages.head.optimizer.adam.lr" = { log_uniform = [1e-4, 1e-2] }
[search.halving]
min_epochs = 1
reduction_factor = 2
"""


class Wrong(Exception):
    """What is not as it should be."""


def wait_until(what: str, holds: Callable[[], object], patience: float = PATIENCE):
    """What `holds` returns once that is something."""
    since = time.monotonic()
    while True:
        it = holds()
        if it:
            return it
        if time.monotonic() - since > patience:
            raise Wrong(f"it never happened: {what}")
        time.sleep(0.1)


class Folder:
    """A folder with the experiment, and the program in it."""

    def __init__(self, root: Path, program: Path, experiment: str, environment: Optional[Dict[str, str]] = None):
        self.root, self.program = root, program
        self.environment = {**os.environ, **(environment or {}), "FERRITE_CACHE": str(root / "cache"), "XDG_CONFIG_HOME": str(root / "config")}
        (root / "experiments").mkdir(parents=True)
        (root / "experiments/e.toml").write_text(experiment)
        (root / "ferrite.toml").write_text('[slurm]\nmemory = "100M"\nlead = 20\n[hyperqueue]\ncrash_limit = 3\n')

    def start(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen([str(self.program), *words], cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *words: str, codes=(0,)) -> str:
        return ended(self.start(*words), codes)

    def runs(self) -> List[Path]:
        return sorted(it.parent for it in (self.root / "runs").glob("e/*/trial.toml"))

    def learnt(self) -> Dict[str, bytes]:
        """What all runs hold that says what was learnt."""
        files = [it / name for it in self.runs() for name in ("predictions.csv", "model.safetensors")]
        # A trial that stopped at a rung has neither.
        learnt = {str(it.relative_to(self.root)): it.read_bytes() for it in files if it.exists()}
        told = json.loads(self.run("status", "--json"))["runs"]
        for it in told:
            stages = [[[e["loss"], e["valid_loss"]] for e in stage["epochs"]] for stage in it["stages"]]
            learnt[f"metrics of {it['run']}"] = json.dumps([it["state"], it["accuracy"], it["loss"], stages]).encode()
        return learnt

    def events(self) -> List[dict]:
        return [json.loads(line) for it in self.runs() for line in (it / "events.jsonl").read_text().splitlines() if (it / "events.jsonl").exists()]

    def made(self) -> List[str]:
        """The keys of the steps that were made, once for each time."""
        ready = [it for it in self.events() if it["event"] == "step-ready"]
        return [it["key"] for it in ready if not it["reused"]]

    def attempt(self, run: Path) -> Optional[dict]:
        try:
            return json.loads((run / "attempt.json").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def at_work(self) -> Optional[Path]:
        """A run whose second stage is being trained by a job, with an epoch that is over and one that is not."""
        for run in self.runs():
            try:
                text = (run / "events.jsonl").read_text()
            except FileNotFoundError:
                continue
            lines = text.splitlines()
            if lines and '"all"' in lines[-1] and '"epoch-ended"' in lines[-1] and self.attempt(run):
                return run
        return None


def ended(process: subprocess.Popen, codes=(0,)) -> str:
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise Wrong(f"{process.args[1:]} does not end: {err.decode()[-1500:]}")
    if process.returncode not in codes:
        raise Wrong(f"{process.args[1:]} ended with {process.returncode}: {err.decode()[-3000:]}")
    return out.decode() + err.decode()


def same(found: Dict[str, bytes], expected: Dict[str, bytes]) -> None:
    if found.keys() != expected.keys():
        raise Wrong(f"there are {sorted(found)} instead of {sorted(expected)}")
    for name, content in expected.items():
        if found[name] != content:
            raise Wrong(f"{name} is not what a local sweep makes")


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(process: int) -> List[int]:
    """All processes below one."""
    below = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, check=False).stdout.split()
    return [number for it in below for number in (int(it), *children(int(it)))]


def kill_all(process: int) -> None:
    """Kills a process and all below it, as a node that loses its power does."""
    for it in [process, *children(process)]:
        try:
            os.kill(it, signal.SIGKILL)
        except ProcessLookupError:
            pass


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


# ---------------------------------------------------------------------------------------------------
# Slurm


class Slurm:
    """A cluster of two nodes on this computer, which needs neither systemd nor a database."""

    def __init__(self, root: Path):
        self.root, self.daemons = root, {}
        root.mkdir()
        keys = root / "munge"
        keys.mkdir(mode=0o700)
        (keys / "key").write_bytes(os.urandom(1024))
        (keys / "key").chmod(0o400)
        (root / "state").mkdir()
        me, host = subprocess.run(["id", "-un"], capture_output=True, check=True, text=True).stdout.strip(), socket.gethostname()
        ports = [free_port() for _ in range(3)]
        nodes = "\n".join(f"NodeName=n{n} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[n]} CPUs=4 RealMemory=2000" for n in (1, 2))
        (root / "slurm.conf").write_text(f"""ClusterName=throwaway
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={me}
SlurmdUser={me}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={keys}/socket
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MinJobAge=3600
SlurmdParameters=config_overrides
MpiDefault=none
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
{nodes}
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=60 State=UP
""")
        for n in (1, 2):
            (root / f"n{n}").mkdir()
        self.environment = {"SLURM_CONF": str(root / "slurm.conf")}
        munged = shutil.which("munged") or "/usr/sbin/munged"
        at = [f"--{name}={keys}/{file}" for name, file in (("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"))]
        self.start("munged", [munged, "--foreground", "--force", *at])
        wait_until("munge's socket", (keys / "socket").exists, 20)
        self.start("slurmctld", [shutil.which("slurmctld") or "/usr/sbin/slurmctld", "-D"])
        for node in ("n1", "n2"):
            self.start_node(node)
        wait_until("both nodes are idle", lambda: self.said("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * 2, 60)

    def start(self, name: str, command: List[str]) -> None:
        log = (self.root / f"{name}.out").open("ab")
        self.daemons[name] = subprocess.Popen(command, env={**os.environ, "SLURM_CONF": str(self.root / "slurm.conf")}, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start_node(self, name: str) -> None:
        self.start(name, [shutil.which("slurmd") or "/usr/sbin/slurmd", "-D", "-N", name])

    def said(self, *words: str) -> str:
        told = subprocess.run(words, env={**os.environ, **self.environment}, capture_output=True, check=False, text=True)
        return told.stdout

    def stepds(self, node: str) -> List[int]:
        """The processes that watch over the jobs of a node: they are none of slurmd's children."""
        found = []
        for it in Path("/proc").glob("[0-9]*"):
            try:
                words = (it / "environ").read_bytes() + (it / "cmdline").read_bytes()
                name = (it / "comm").read_text()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if name.startswith("slurmstepd") and str(self.root).encode() in words and self.node_of(int(it.name)) == node:
                found.append(int(it.name))
        return found

    def node_of(self, stepd: int) -> Optional[str]:
        for it in children(stepd):
            try:
                for word in Path(f"/proc/{it}/environ").read_bytes().split(b"\0"):
                    if word.startswith(b"SLURMD_NODENAME="):
                        return word.split(b"=")[1].decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
        return None

    def kill_node(self, name: str) -> None:
        """The node loses its power."""
        below = self.stepds(name)
        self.daemons[name].kill()
        self.daemons[name].wait()
        for it in below:
            kill_all(it)

    def hurry(self) -> None:
        """A job that was queued again waits two minutes, which tells nothing here.

        It is not started at once: a node refuses a job whose permission is of the second in which it ended that job
        ("Job credential revoked", Slurm 22.05), and the job has then failed.
        """
        for line in self.said("squeue", "-h", "-r", "-t", "PENDING", "-o", "%i|%r|%S").splitlines():
            job, reason, begins = line.split("|")
            if reason == "BeginTime" and begins != "N/A" and datetime.fromisoformat(begins) > datetime.now() + timedelta(seconds=5):
                self.said("scontrol", "update", f"job={job}", "StartTime=now+2")

    def stop(self) -> None:
        self.said("scancel", "--me")
        for node in ("n1", "n2"):
            for it in self.stepds(node):
                kill_all(it)
        for it in reversed(list(self.daemons.values())):
            it.kill()
            it.wait()


def slurm_is_there() -> Optional[str]:
    missing = [it for it in ("sbatch", "squeue", "slurmctld", "slurmd", "munged") if not (shutil.which(it) or Path("/usr/sbin", it).exists())]
    return f"there is no {', '.join(missing)}: `apt-get install slurm-wlm munge`" if missing else None


def watch(folder: Folder, cluster: Slurm, process: subprocess.Popen) -> str:
    """Waits for a sweep, and for no begin time."""
    since = time.monotonic()
    while process.poll() is None and time.monotonic() - since < PATIENCE:
        cluster.hurry()
        time.sleep(0.5)
    return ended(process)


def slurm(root: Path, arguments: argparse.Namespace, expected: Dict[str, bytes]) -> None:
    cluster = Slurm(root / "cluster")

    def folder(name: str, experiment: str = experiment(arguments)) -> Folder:
        return Folder(root / name, arguments.program, experiment, cluster.environment)

    try:
        submitted(folder("submitted"), cluster, expected)
        node_dies(folder("node"), cluster, expected)
        time_is_up(folder("time"), cluster, expected)
        outlived(folder("outlived"), cluster, expected)
        searched(Folder(root / "local-search", arguments.program, SEARCH), folder("search", SEARCH), folder("detached", SEARCH), cluster)
    finally:
        cluster.stop()


def experiment(arguments: argparse.Namespace) -> str:
    return EXPERIMENT.replace("EPOCHS", str(arguments.epochs))


def submitted(it: Folder, cluster: Slurm, expected: Dict[str, bytes]) -> None:
    """What is submitted is submitted once, is known, cancelled and gone on with, and reported by a job of its own."""
    sweep = ["sweep", "--executor", "slurm", "--detach"]
    said = it.run(*sweep)
    if "7 jobs submitted to Slurm, 3 of them for what several trials need" not in said:
        raise Wrong(f"other jobs than expected: {said}")
    if "7 jobs in Slurm from before; nothing else to submit" not in it.run(*sweep):
        if not all(run.joinpath("predictions.csv").exists() for run in it.runs()):
            raise Wrong("what is queued was submitted again")
    said = it.run("status")
    if "waiting, slurm " not in said and "running, slurm " not in said:
        raise Wrong(f"status does not tell of jobs: {said}")
    wait_until("the report", (it.root / "runs/index.html").exists)
    same(it.learnt(), expected)
    once(it)
    print("  submitted once, reported by a job")


def once(it: Folder, lost: int = 0) -> None:
    made = it.made()
    twice = len(made) - len(set(made))
    if not made or twice > lost:
        raise Wrong(f"{twice} of {len(made)} steps were made twice")


def node_dies(it: Folder, cluster: Slurm, expected: Dict[str, bytes]) -> None:
    """A node dies while two jobs may be on it; they are queued again and go on elsewhere."""
    process = it.start("sweep", "--executor", "slurm")
    run = wait_until("a job is at work", it.at_work)
    node = it.attempt(run)["node"]
    cluster.kill_node(node)
    wait_until("Slurm sees that the node is gone", lambda: "down" in cluster.said("sinfo", "-h", "-N", "-n", node, "-o", "%T"), 60)
    said = watch(it, cluster, process)
    cluster.start_node(node)
    wait_until("the node is back", lambda: "idle" in cluster.said("sinfo", "-h", "-N", "-n", node, "-o", "%T"), 60)
    if it.attempt(run)["number"] < 2:
        raise Wrong(f"nobody tried again: {said}")
    same(it.learnt(), expected)
    once(it)
    print(f"  {node} died, its jobs went on elsewhere")


def time_is_up(it: Folder, cluster: Slurm, expected: Dict[str, bytes]) -> None:
    """Slurm says that a job's time is nearly over: it stops at the end of its epoch, queues again and goes on."""
    process = it.start("sweep", "--executor", "slurm")
    run = wait_until("a job is at work", it.at_work)
    attempt = it.attempt(run)
    cluster.said("scancel", "--batch", "--signal=USR1", attempt["job"].split()[1])
    wait_until("the run stops", lambda: "run-interrupted" in (run / "events.jsonl").read_text())
    before = {other: it.attempt(other) for other in it.runs() if other != run}
    watch(it, cluster, process)
    if it.attempt(run)["number"] <= attempt["number"]:
        raise Wrong("the job did not queue again")
    others = [other.name for other, was in before.items() if was and was["job"] == it.attempt(other)["job"] and was != it.attempt(other)]
    if others:
        raise Wrong(f"other jobs of its array queued again: {others}")
    same(it.learnt(), expected)
    once(it)
    print("  a job whose time was up queued again and went on")


def outlived(it: Folder, cluster: Slurm, expected: Dict[str, bytes]) -> None:
    """Slurm loses sight of a job whose process lives on, and starts it anew: the old process gives way."""
    process = it.start("sweep", "--executor", "slurm")
    run = wait_until("a job is at work", it.at_work)
    attempt = it.attempt(run)
    worker = attempt["process"]
    above = [stepd for stepd in cluster.stepds(attempt["node"]) if worker in children(stepd)]
    for stepd in above:
        os.kill(stepd, signal.SIGKILL)
    # It stands still, as one does whose network is gone, until there is another one.
    os.kill(worker, signal.SIGSTOP)
    if not above or not alive(worker):
        raise Wrong("the process did not outlive its job")
    cluster.said("scontrol", "requeue", attempt["job"].split()[1])

    def taken_over() -> bool:
        cluster.hurry()
        return it.attempt(run)["number"] > attempt["number"]

    wait_until("another process claims the run", taken_over)
    os.kill(worker, signal.SIGCONT)
    wait_until("the old process gives way", lambda: not alive(worker))
    watch(it, cluster, process)
    same(it.learnt(), expected)
    print("  a process that outlived its job gave way")


def searched(local: Folder, watched: Folder, detached: Folder, cluster: Slurm) -> None:
    """A search promotes on the cluster whom it promotes here: by the sweep that watches, and by jobs where nobody does."""
    local.run("sweep", "--jobs", "2", "--threads", "1", "--device", "cpu")
    expected = local.learnt()
    states = sorted(json.loads(it)[0] for name, it in expected.items() if name.startswith("metrics"))
    if states != ["finished", "stopped", "stopped", "stopped"]:
        raise Wrong(f"other points were promoted: {states}")
    said = watch(watched, cluster, watched.start("sweep", "--executor", "slurm"))
    if "3 trials stopped behind others of their search" not in said:
        raise Wrong(f"it is not told who stopped: {said}")
    same(watched.learnt(), expected)
    once(watched)
    detached.run("sweep", "--executor", "slurm", "--detach")
    detached.run("stop")
    queue = cluster.said("squeue", "--noheader", "--format=%k")
    if "decision" in queue:
        raise Wrong(f"a job that would submit again what was cancelled is left: {queue}")
    detached.run("sweep", "--executor", "slurm", "--detach")
    wait_until("the report of the search", (detached.root / "runs/index.html").exists)
    same(detached.learnt(), expected)
    once(detached, lost=1)
    print("  a search promoted whom it promotes on one machine, watched and by jobs that decide")


# ---------------------------------------------------------------------------------------------------
# HyperQueue


def hyperqueue_is_there() -> Optional[str]:
    return None if shutil.which("hq") else "there is no `hq`: it is HyperQueue's program, of its releases, and belongs on the PATH"


def hyperqueue(root: Path, arguments: argparse.Namespace, expected: Dict[str, bytes]) -> None:
    environment = {"HQ_SERVER_DIR": str(root / "server")}
    processes = []

    def start(name: str, *words: str) -> subprocess.Popen:
        log = (root / f"{name}.log").open("wb")
        process = subprocess.Popen(["hq", *words], env={**os.environ, **environment}, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=root)
        processes.append(process)
        return process

    try:
        start("server", "server", "start", "--host", "127.0.0.1")
        wait_until("the server", lambda: (root / "server").exists() and any((root / "server").glob("*/access.json")), 30)
        workers = [start(f"worker-{n}", "worker", "start", "--cpus", "2", "--heartbeat", "1s") for n in (1, 2)]
        it = Folder(root / "worker", arguments.program, experiment(arguments), environment)
        process = it.start("sweep", "--executor", "hyperqueue")
        run = wait_until("a task is at work", it.at_work)
        attempt = it.attempt(run)
        above = [worker for worker in workers if attempt["process"] in children(worker.pid)]
        if len(above) != 1:
            raise Wrong("no worker has the task")
        kill_all(above[0].pid)
        said = ended(process)
        if it.attempt(run)["number"] <= attempt["number"]:
            raise Wrong(f"nobody tried again: {said}")
        same(it.learnt(), expected)
        once(it)
        print("  a worker died, its tasks went on elsewhere")
        if "nothing to submit" not in it.run("sweep", "--executor", "hyperqueue"):
            raise Wrong("what is finished was submitted")
    finally:
        for it in processes:
            kill_all(it.pid)
            it.wait()


CLUSTERS = {"slurm": (slurm, slurm_is_there), "hyperqueue": (hyperqueue, hyperqueue_is_there)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(CLUSTERS), help="only this one")
    parser.add_argument("--epochs", type=int, default=6, help="of the second stage: the longer, the more there is to disturb (default: 6)")
    parser.add_argument("--program", type=Path, default=PROGRAM, help="Ferrite (default: what `cargo build` builds)")
    parser.add_argument("--keep", type=Path, help="a folder that is left behind, to look into")
    arguments = parser.parse_args()
    # Clusters are taken away also where somebody ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments.program = arguments.program.resolve()
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.keep or Path(temporary)
        root.mkdir(exist_ok=True)
        local = Folder(root / "local", arguments.program, experiment(arguments))
        local.run("sweep", "--jobs", "2", "--threads", "1", "--device", "cpu")
        expected = local.learnt()
        for name in [arguments.only] if arguments.only else CLUSTERS:
            test, is_there = CLUSTERS[name]
            missing = is_there()
            if missing:
                print(f"{name}: left out, {missing}", flush=True)
                failed += arguments.only is not None
                continue
            began = time.monotonic()
            print(name, flush=True)
            (root / name).mkdir()
            try:
                test(root / name, arguments, expected)
                print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
            except Wrong as wrong:
                failed += 1
                print(f"{name}: {wrong}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
