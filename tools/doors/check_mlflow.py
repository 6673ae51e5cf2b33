"""Runs on MLflow's own tracking server, read by its own client."""

import base64
import contextlib
import http.server
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Dict, List

import study
from study import Place, Run, Wrong, same, wait_until


def check(place: Place) -> int:
    port = study.free_port()
    address = f"http://127.0.0.1:{port}"
    database = place.root / "mlflow.db"
    with server(place.root, port):
        sweep = place.start("sweep", "--threads", "1", "--jobs", "1", "--quiet")
        wait_until("a run begins", lambda: list((place.root / "runs").glob("*/*/events.jsonl")))
        follower = place.start("export", "mlflow", "--to", address, "--experiment", "faces", "--watch")
        wait_until("metrics arrive", lambda: count(database, "metrics"))
    # The server is gone in the middle of it, and comes back.
    with server(place.root, port):
        place.end(sweep)
        follower.communicate(timeout=study.PATIENCE)
        same("how the follower ended", follower.returncode in (0, 7), True)
        place.run("export", "mlflow", "--to", address, "--experiment", "faces")
        values = by_client(address, place.runs())
        before = dump(database)
        said = place.run("export", "mlflow", "--to", address, "--experiment", "faces")
        values += same("what an export says that has nothing to do", "nothing was lacking" in said, True)
        told = json.loads(place.run("export", "mlflow", "--to", address, "--experiment", "faces", "--json"))
        nothing = dict.fromkeys(("created", "replaced", "metrics", "files", "without_files"), 0)
        values += same("the same as an object", told, {"version": 1, "server": address, "experiment": "faces", **nothing})
        values += same("the database after the same export again", dump(database), before)
        values += weights(place, address)
        values += another_run(place, address)
    said = place.run("export", "mlflow", "--to", address, code=7)
    values += same("a server that is gone", "does not answer" in said, True)
    said = place.run("export", "mlflow", "--to", "sqlite:///mlflow.db", code=2)
    values += same("what is no server", "is no address of a tracking server" in said, True)
    return values + authorization(place)


@contextlib.contextmanager
def server(root: Path, port: int):
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{root}/mlflow.db", "--workers", "1"]
    command += ["--artifacts-destination", str(root / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    with open(root / "server.log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=root, start_new_session=True)
    try:
        wait_until("the server answers", lambda: answers(port, process))
        yield
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=60)


def answers(port: int, process: subprocess.Popen) -> bool:
    import urllib.request

    if process.poll() is not None:
        raise Wrong("the server ended; see server.log")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def count(database: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(database)) as it:
        return it.execute(f"select count(*) from {table}").fetchone()[0]


def dump(database: Path) -> List[str]:
    with contextlib.closing(sqlite3.connect(database)) as it:
        return list(it.iterdump())


def client(address: str):
    import mlflow

    return mlflow.MlflowClient(tracking_uri=address)


def by_client(address: str, runs: List[Run]) -> int:
    asked = client(address)
    experiment = asked.get_experiment_by_name("faces")
    found = asked.search_runs([experiment.experiment_id], max_results=1000)
    children = {it.data.tags["ferrite.name"]: it for it in found if "mlflow.parentRunId" in it.data.tags}
    parents = {it.info.run_id: it for it in found if "mlflow.parentRunId" not in it.data.tags}
    values = same("runs", sorted(children), sorted(it.name for it in runs)) + same("configurations", len(parents), 2)
    for run in runs:
        values += of_run(asked, run, children[run.name])
    for parent in parents.values():
        own = [it for it in runs if children[it.name].data.tags["mlflow.parentRunId"] == parent.info.run_id]
        values += same("seeds of a configuration", len(own), 2)
        accuracies = [it.scalars()["evaluation/accuracy"][0].value for it in own]
        mean = sum(accuracies) / 2
        values += close("accuracy_mean", parent.data.metrics["accuracy_mean"], mean)
        deviation = (sum((it - mean) ** 2 for it in accuracies)) ** 0.5
        values += close("accuracy_sd", parent.data.metrics["accuracy_sd"], deviation)
        values += same("the parent's state", parent.info.status, "FINISHED")
        values += same("the parent's steps", [it.step for it in asked.get_metric_history(parent.info.run_id, "accuracy_mean")], [1, 2])
        rates = {it.settings()["stages.head.optimizer.adam.lr"] for it in own}
        values += same("the parent's rate", {float(parent.data.params["stages.head.optimizer.adam.lr"])}, rates)
    return values


def close(what: str, found: float, expected: float) -> int:
    if abs(found - expected) > 1e-9:
        raise Wrong(f"{what} is {found} instead of {expected}")
    return 1


def of_run(asked, run: Run, found) -> int:
    info = found.info
    values = same("the name", info.run_name, run.name) + same("the state", info.status, "FINISHED")
    values += same("the times", (info.start_time, info.end_time), (run.began_ms(), run.events[-1]["at_ms"]))
    values += same("the note", found.data.tags["mlflow.note.content"], "Whether the rate matters.")
    others = {"evaluation/macro_f1", "evaluation/roc_auc", "evaluation/calibration_error", "evaluation/leak_free_accuracy"}
    expected = run.scalars()
    values += same("names of metrics", sorted(set(found.data.metrics) - others), sorted(expected))
    for name, points in expected.items():
        history = sorted(asked.get_metric_history(info.run_id, name), key=lambda it: it.step)
        values += same(f"steps of {name}", [it.step for it in history], [it.step for it in points])
        values += same(f"times of {name}", [it.timestamp for it in history], [round(it.seconds * 1000) for it in points])
        for a, b in zip(history, points):
            # All digits arrive, but for the norms of parts, which are 32-bit numbers in the log.
            values += close(name, a.value, b.value) if abs(a.value - b.value) > 1e-7 * abs(b.value) else 1
    settings = {**run.settings(), "seed": run.seed()}
    values += same("names of parameters", sorted(found.data.params), sorted(settings))
    for key, value in settings.items():
        values += same(key, parsed(found.data.params[key], value), value)
    return values + artifacts(asked, run, info.run_id)


def parsed(text: str, like: object) -> object:
    import tomllib

    return text if isinstance(like, str) else tomllib.loads(f"it = {text}")["it"]


def artifacts(asked, run: Run, run_id: str) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(asked.download_artifacts(run_id, "", temporary))
        found = {str(it.relative_to(folder)): it.read_bytes() for it in folder.rglob("*") if it.is_file()}
    left_out = {"job.json"}
    own = (it for it in run.folder.rglob("*") if it.is_file() and not it.name.startswith(".") and it.suffix != ".safetensors")
    expected = {str(it.relative_to(run.folder)): it.read_bytes() for it in own if it.name not in left_out}
    return same("names of files", sorted(found), sorted(expected)) + sum(same(name, found[name], it) for name, it in expected.items())


def weights(place: Place, address: str) -> int:
    """Weights are sent where they are asked for."""
    run = place.runs()[0]
    place.run("export", "mlflow", run.name, "--to", address, "--experiment", "weights", "--weights")
    asked = client(address)
    (found,) = [it for it in asked.search_runs([asked.get_experiment_by_name("weights").experiment_id]) if it.info.run_name == run.name]
    with tempfile.TemporaryDirectory() as temporary:
        sent = Path(asked.download_artifacts(found.info.run_id, "model.safetensors", temporary)).read_bytes()
    return same("the weights", sent, (run.folder / "model.safetensors").read_bytes())


def another_run(place: Place, address: str) -> int:
    """A run that was trained anew takes the place of the old one; what is not a number arrives as that."""
    runs = place.root / "runs"
    run = place.runs()[0]
    log = run.folder / "events.jsonl"
    kept = log.read_text()
    lines = kept.splitlines()
    # Without their checksums, as the first versions wrote them; the run is one that was interrupted.
    lines = [it.rsplit(',"crc32":', 1)[0] + "}" for it in lines if '"event":"run-ended"' not in it]
    first = next(at for at, it in enumerate(lines) if '"event":"epoch-ended"' in it)
    begin = lines[first].index('"train":{"loss":') + len('"train":{"loss":')
    lines[first] = lines[first][:begin] + '"nan"' + lines[first][lines[first].index(",", begin) :]
    log.write_text("\n".join(lines) + "\n")
    try:
        said = place.run("export", "mlflow", run.name, "--to", address, "--experiment", "faces")
    finally:
        log.write_text(kept)
    # Its configuration has other means then, and is another one, too.
    values = same("what is said of another run", "2 runs replaced" in said, True)
    asked = client(address)
    runs = {it.info.run_name: it for it in asked.search_runs([asked.get_experiment_by_name("faces").experiment_id])}
    values += same("how many there are", len(runs), study.RUNS + 2) + same("its state", runs[run.name].info.status, "KILLED")
    (loss, *_) = asked.get_metric_history(runs[run.name].info.run_id, "loss/train")
    values += same("what is no number", loss.value != loss.value, True)
    # What was nested is nested in the configuration that took the place of the old one.
    there = {it.info.run_id for it in runs.values()}
    parents = [it.data.tags["mlflow.parentRunId"] for it in runs.values() if "mlflow.parentRunId" in it.data.tags]
    values += same("nested runs", len(parents), study.RUNS) + same("whose parents are there", set(parents) <= there, True)
    place.run("export", "mlflow", "--to", address, "--experiment", "faces")
    return values + by_client(address, place.runs())


def authorization(place: Place) -> int:
    """What Ferrite says of itself is what MLflow's own client says under the same variables."""
    heard: List[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.headers.get("Authorization", ""))
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_):
            pass

    values = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        threading.Thread(target=it.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{it.server_address[1]}"
        both = {"MLFLOW_TRACKING_USERNAME": "a", "MLFLOW_TRACKING_PASSWORD": "b:ö"}
        token = {"MLFLOW_TRACKING_TOKEN": "secret"}
        for variables in ({}, token, both, {**token, **both}, {"MLFLOW_TRACKING_USERNAME": "a"}):
            heard.clear()
            said = place.run("export", "mlflow", "--to", address, code=7, **variables)
            values += same("a user who is not let in", "does not let this user in" in said, True)
            ours = set(heard)
            heard.clear()
            code = f"import mlflow; mlflow.MlflowClient({address!r}).get_experiment_by_name('ferrite')"
            subprocess.run([sys.executable, "-c", code], env={**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", **variables}, capture_output=True)
            values += same(f"the header under {sorted(variables)}", ours, set(heard))
        it.shutdown()
    return values
