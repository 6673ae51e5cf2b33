"""Event files, read by TensorBoard's `EventAccumulator`, and by its board with each of its two loaders."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Dict, List

import numpy
import study
from study import Place, Run, Wrong, same, wait_until

BUCKETS = 30


def check(place: Place) -> int:
    values = live(place)
    runs = place.runs()
    place.run("export", "tensorboard", "--out", "board")
    values += same("what was followed", contents(place.root / "live"), contents(place.root / "board"))
    values += repeated(place)
    for run in runs:
        values += by_accumulator(run, place.root / "board" / run.name)
    for loader in ("true", "false"):
        with board(place.root / "board", loader) as ask:
            values += by_board(runs, ask)
    return values + parts(place, runs)


def files(folder: Path) -> Dict[str, Path]:
    """The event file of each run."""
    found: Dict[str, Path] = {}
    for file in sorted(folder.rglob("*tfevents*")):
        name = str(file.parent.relative_to(folder))
        same(f"the number of files in {file.parent}", name in found, False)
        found[name] = file
    return found


def contents(folder: Path) -> Dict[str, bytes]:
    return {name: file.read_bytes() for name, file in files(folder).items()}


def live(place: Place) -> int:
    """Follows a sweep; files only grow while it runs."""
    sweep = place.start("sweep", "--threads", "1", "--jobs", "1", "--quiet")
    wait_until("a run begins", lambda: list((place.root / "runs").glob("*/*/events.jsonl")))
    follower = place.start("export", "tensorboard", "--out", "live", "--watch")
    seen: List[Dict[str, bytes]] = []
    while follower.poll() is None:
        now = contents(place.root / "live") if (place.root / "live").exists() else {}
        if not seen or now != seen[-1]:
            seen.append(now)
        time.sleep(0.2)
    place.end(sweep)
    place.end(follower)
    for before, after in zip(seen, seen[1:]):
        for name, bytes_before in before.items():
            same(f"the beginning of {name}", after[name][: len(bytes_before)], bytes_before)
    grown = sum(before.get(name, b"") not in (b"", it) for before, after in zip(seen, seen[1:]) for name, it in after.items())
    if grown < 1:
        raise Wrong(f"no file was seen to grow in {len(seen)} looks")
    # The report, whose figures come last, is written when the sweep has ended.
    place.run("export", "tensorboard", "--out", "live")
    return grown


def repeated(place: Place) -> int:
    """The same export again changes nothing, nor does one that finds the half of a record at the end of a file."""
    folder = place.root / "board"
    state = lambda: {name: (it.name, it.stat().st_mtime_ns, it.read_bytes()) for name, it in files(folder).items()}
    before = state()
    place.run("export", "tensorboard", "--out", "board")
    values = same("what was exported twice", state(), before)
    name, file = next(iter(files(folder).items()))
    os.truncate(file, file.stat().st_size // 2 + 3)
    place.run("export", "tensorboard", "--out", "board")
    values += same("what was cut off", contents(folder)[name], before[name][2])
    # Another run of the same name takes its place, under a name that readers go on to.
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    place.run("export", "tensorboard", "--out", "board")
    (after,) = folder.joinpath(name).iterdir()
    values += same("what was replaced", after.read_bytes(), before[name][2])
    return values + same("whether its name comes later", after.name > file.name, True)


def by_accumulator(run: Run, folder: Path) -> int:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2
    from tensorboard.util import tensor_util

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0})
    read.Reload()
    expected = run.scalars()
    values = 0
    others = {"evaluation/macro_f1", "evaluation/roc_auc", "evaluation/calibration_error", "evaluation/leak_free_accuracy"}
    tags = set(read.Tags()["scalars"])
    values += same(f"the scalars of {run.name}", sorted(tags - others), sorted(expected))
    for tag, points in expected.items():
        found = read.Scalars(tag)
        values += same(f"steps of {tag}", [it.step for it in found], [it.step for it in points])
        values += same(f"times of {tag}", [it.wall_time for it in found], [it.seconds for it in points])
        for a, b in zip(found, points):
            if abs(a.value - b.value) > 2e-7 * max(1.0, abs(b.value)):
                raise Wrong(f"{tag} of {run.name} at {a.step} is {a.value} instead of {b.value}")
            values += 1
    pictures = run.pictures()
    values += same(f"pictures of {run.name}", sorted(read.Tags()["images"]), sorted(pictures))
    for tag, png in pictures.items():
        (found,) = read.Images(tag)
        values += same(f"the picture {tag}", found.encoded_image_string, png)
        values += same(f"the size of {tag}", (found.width, found.height), size_of(png))
    text = tensor_util.make_ndarray(read.Tensors("settings")[0].tensor_proto).item().decode()
    code = "".join(f"    {line}\n" for line in (run.folder / "trial.toml").read_text().splitlines())
    values += same("the settings", text, code)
    about = tensor_util.make_ndarray(read.Tensors("about")[0].tensor_proto).item().decode()
    values += same("what it is about", about, "Whether the rate matters.")
    probabilities, truth = numpy.array(run.probabilities), numpy.array(run.truth)
    for at, name in enumerate(run.classes):
        tag = f"precision_recall/{name}"
        (found,) = read.Tensors(tag)
        reference = reference_curve(tag, truth == at, probabilities[:, at])
        numpy.testing.assert_allclose(tensor_util.make_ndarray(found.tensor_proto), tensor_util.make_ndarray(reference.tensor), rtol=1e-6)
        said = read.SummaryMetadata(tag).plugin_data
        values += same("the curve's plugin", (said.plugin_name, said.content), ("pr_curves", reference.metadata.plugin_data.content)) + 201
    sure = {"evaluation/confidence": probabilities.max(axis=1), "evaluation/probability_of_truth": probabilities[numpy.arange(len(truth)), truth]}
    for tag, numbers in sure.items():
        (found,) = read.Histograms(tag)
        it = found.histogram_value
        counts, edges = numpy.histogram(numbers, bins=BUCKETS, range=(0, 1))
        values += same(f"the buckets of {tag}", list(it.bucket), [float(n) for n in counts])
        numpy.testing.assert_allclose(list(it.bucket_limit), edges[1:], rtol=1e-12)
        numpy.testing.assert_allclose([it.min, it.max, it.num, it.sum], [numbers.min(), numbers.max(), len(numbers), numbers.sum()])
    start = plugin_data_pb2.HParamsPluginData.FromString(read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    found = {key: getattr(it, it.WhichOneof("kind")) for key, it in start.session_start_info.hparams.items()}
    settings = run.settings()
    values += same("the names of hyperparameters", sorted(found), sorted(settings))
    for key, value in settings.items():
        # Numbers, truth values and texts are what they are; all else is a text, which is TOML and here JSON as well.
        values += same(key, found[key], value if isinstance(value, (bool, str, int, float)) else json.dumps(value))
    end = plugin_data_pb2.HParamsPluginData.FromString(read.SummaryMetadata("_hparams_/session_end_info").plugin_data.content)
    return values + same("the end", (end.session_end_info.status, end.session_end_info.end_time_secs), (1, run.last_seconds()))


def reference_curve(tag: str, truth: numpy.ndarray, probabilities: numpy.ndarray):
    """What TensorBoard's own summary of a curve says. It asks TensorFlow for four names alone, which TensorBoard has as well."""
    import types
    from unittest import mock

    from tensorboard.compat.proto import summary_pb2
    from tensorboard.compat.tensorflow_stub import dtypes
    from tensorboard.plugins.pr_curve import summary
    from tensorboard.util import tensor_util

    names = types.ModuleType("tensorflow.compat.v1")
    names.SummaryMetadata, names.Summary, names.make_tensor_proto = summary_pb2.SummaryMetadata, summary_pb2.Summary, tensor_util.make_tensor_proto
    names.float32 = dtypes.float32
    compat = types.ModuleType("tensorflow.compat")
    compat.v1 = names
    whole = types.ModuleType("tensorflow")
    whole.compat = compat
    modules = {"tensorflow": whole, "tensorflow.compat": compat, "tensorflow.compat.v1": names}
    with mock.patch.dict("sys.modules", modules):
        return summary.pb(tag, truth, probabilities, num_thresholds=201).value[0]


def size_of(png: bytes):
    import io

    from PIL import Image

    return Image.open(io.BytesIO(png)).size


@contextlib.contextmanager
def board(folder: Path, fast: str):
    """A board of `folder`, as a function that asks it."""
    port = study.free_port()
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--load_fast", fast, "--reload_interval", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def ask(path: str, query=None, body=None, raw=False):
        url = f"http://127.0.0.1:{port}/data/{path}"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read() if raw else json.load(answer)

    def answers():
        try:
            return ask("plugin/scalars/tags")
        except OSError:
            if process.poll() is not None:
                raise Wrong(f"the board ended: {process.stderr.read().decode()[-500:]}")
            return None

    try:
        wait_until("the board answers", answers)
        yield ask
    finally:
        process.terminate()
        process.wait(timeout=30)


def by_board(runs: List[Run], ask) -> int:
    expected = {run.name: run.scalars() for run in runs}
    pictures = {run.name: run.pictures() for run in runs}

    def is_read() -> bool:
        images, scalars = ask("plugin/images/tags"), ask("plugin/scalars/tags")
        return all(len(images.get(name, {})) == len(it) for name, it in pictures.items()) and set(scalars) == set(expected)

    wait_until("the board has read all", is_read)
    values = 0
    for name, scalars in expected.items():
        for tag, points in scalars.items():
            found = ask("plugin/scalars/scalars", {"run": name, "tag": tag})
            values += same(f"steps of {tag}", [it[1] for it in found], [it.step for it in points])
            numpy.testing.assert_allclose([it[2] for it in found], [it.value for it in points], rtol=1e-6)
        for tag, png in pictures[name].items():
            (found,) = ask("plugin/images/images", {"run": name, "tag": tag, "sample": 0})
            sent = ask("plugin/images/individualImage?" + found["query"], raw=True)
            values += same(f"the picture {tag}", sent, png)
        texts = {tag: ask("plugin/text/text", {"run": name, "tag": tag}) for tag in ("settings", "about")}
        values += same("texts", ["image_size" in texts["settings"][0]["text"], "Whether the rate" in texts["about"][0]["text"]], [True, True])
    for run in runs:
        for name in run.classes:
            (curve,) = ask("plugin/pr_curves/pr_curves", {"run": run.name, "tag": f"precision_recall/{name}"})[run.name]
            values += same("positives", curve["true_positives"][0], run.truth.count(run.classes.index(name)))
        (histogram,) = ask("plugin/histograms/histograms", {"run": run.name, "tag": "evaluation/confidence"})
        values += same("the histogram", sum(it[2] for it in histogram[2]), len(run.truth))
    return values + by_hparams(runs, ask)


def by_hparams(runs: List[Run], ask) -> int:
    """Seeds are one row, whose metrics are means."""
    rate = "stages.head.optimizer.adam.lr"
    asked = {
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [{"hparam": rate}, {"metric": {"group": "", "tag": "evaluation/accuracy"}}],
        "startIndex": 0,
        "sliceSize": 100,
        "aggregationType": "AGGREGATION_AVG",
    }
    groups = ask("plugin/hparams/session_groups", body=asked)["sessionGroups"]
    values = same("rows of hyperparameters", len(groups), 2)
    for group in groups:
        own = [it for it in runs if it.settings()[rate] == group["hparams"][rate]]
        accuracies = [it.scalars()["evaluation/accuracy"][0].value for it in own]
        found = {it["name"]["tag"]: it["value"] for it in group["metricValues"]}
        numpy.testing.assert_allclose(found["evaluation/accuracy"], sum(accuracies) / len(accuracies), rtol=1e-6)
        values += same("sessions of a row", sorted(it["name"] for it in group["sessions"]), sorted(it.name for it in own))
    return values


def parts(place: Place, runs: List[Run]) -> int:
    """A selection is exported alone, and what names no run is told."""
    place.run("export", "tensorboard", runs[0].name, "--out", "one")
    values = same("a selection", list(files(place.root / "one")), [runs[0].name])
    said = place.run("export", "tensorboard", "nothing", "--out", "none", code=2)
    return values + same("what names nothing", "`nothing` names no run" in said, True)
