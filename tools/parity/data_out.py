"""The report's data, as pandas, DuckDB and scikit-learn read it, against the numbers of the page."""

import os
import re
import subprocess
from pathlib import Path
from typing import Dict, List

import duckdb
import numpy
import pandas
import yaml
from exchange import Claim, Comparison
from sklearn import metrics

PROJECT = Path(__file__).resolve().parent.parent.parent
FERRITE = PROJECT / "target" / "debug" / "ferrite"

# Two experiments of two seeds; the second one's name is not easy.
EXPERIMENTS = {"plain": "", "sub/a, 'b' & 50% c_d": "extends = '../plain.toml'\n[augment]\nflip = 0.5\n"}
SETTINGS = """
seeds = [0, 1]
[data]
source = { synthetic = { faces = 120 } }
image_size = 32
[[stages]]
name = "head"
epochs = 2
batch_size = 16
"""


def read_back(folder: Path) -> Comparison:
    """A small study, its files, and the examples of docs/export.md."""
    place = folder / "data-out"
    for name, text in EXPERIMENTS.items():
        file = place / "experiments" / f"{name}.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if "extends" in text else text + SETTINGS)
    subprocess.run([str(FERRITE), "sweep", "--quiet", "--threads", "1", "--device", "cpu"], cwd=place, check=True, stdout=subprocess.DEVNULL)
    yield []
    return claims(place)


def claims(place: Path) -> List[Claim]:
    report = place / "runs" / "report"
    configurations = pandas.read_csv(report / "configurations.csv").set_index("configuration")
    runs = pandas.read_csv(report / "runs.csv").set_index("run")
    predictions = pandas.read_parquet(report / "predictions.parquet")
    epochs = pandas.read_parquet(report / "epochs.parquet")
    of_runs = predictions.groupby(["configuration", "run"]).correct.mean()
    by_pandas = of_runs.groupby("configuration").mean()
    by_duckdb = duckdb.sql(
        "SELECT configuration, avg(accuracy) AS accuracy FROM (SELECT configuration, run, avg(correct::INT) AS accuracy"
        f" FROM '{report}/predictions.parquet' GROUP BY ALL) GROUP BY ALL"
    ).df()
    by_duckdb = by_duckdb.set_index("configuration").accuracy
    kept = epochs[epochs.kept].sort_values("global_epoch").groupby("run").last()
    return [
        Claim("accuracy of each configuration, from predictions.parquet by pandas, against the leaderboard", largest(by_pandas, configurations.accuracy_mean), 1e-12),
        Claim("the same by DuckDB", largest(by_duckdb, configurations.accuracy_mean), 1e-12),
        Claim("deviation over seeds by pandas", largest(of_runs.groupby("configuration").std(), configurations.accuracy_sd), 1e-12),
        Claim("validation accuracy of the kept epoch, from epochs.parquet, against the table of runs", largest(kept.valid_accuracy, runs.valid_accuracy), 0.0),
        Claim("macro F1 of each run, from predictions.parquet by scikit-learn", largest(by_run(predictions, macro_f1), runs.macro_f1), 1e-12),
        Claim("ROC-AUC of each run, from predictions.parquet by scikit-learn", largest(by_run(predictions, roc_auc), runs.roc_auc), 1e-12),
        Claim("accuracy in the first lines of each run's MODEL.md, read as YAML, against the table of runs", largest(cards(place), runs.accuracy), 1e-12),
        Claim("examples of docs/export.md that do not run", float(failing_examples(place)), 0.0),
    ]


def largest(ours: pandas.Series, theirs: pandas.Series) -> float:
    """The largest difference; not a number unless both have the same rows."""
    if set(ours.index) != set(theirs.index) or not len(ours):
        return float("nan")
    return float((ours - theirs).abs().max(skipna=False))


def by_run(predictions: pandas.DataFrame, score) -> pandas.Series:
    return pandas.Series({run: score(rows) for run, rows in predictions.groupby("run")})


def macro_f1(rows: pandas.DataFrame) -> float:
    return metrics.f1_score(rows.truth, rows.predicted, labels=sorted(set(rows.truth)), average="macro")


def roc_auc(rows: pandas.DataFrame) -> float:
    probabilities = numpy.stack(rows.probabilities)
    areas = [metrics.roc_auc_score(rows.truth == it, probabilities[:, it]) for it in sorted(set(rows.truth))]
    return float(numpy.mean(areas))


def cards(place: Path) -> pandas.Series:
    found: Dict[str, float] = {}
    for file in (place / "runs").rglob("MODEL.md"):
        index = yaml.safe_load(file.read_text().split("---\n")[1])["model-index"][0]
        values = [it["value"] for it in index["results"][0]["metrics"] if it["type"] == "accuracy"]
        found[index["name"]] = values[0]
    return pandas.Series(found)


def failing_examples(place: Path) -> int:
    """How many of the page's examples in Python and SQL that read tables end with an error, or 1 if there are none of a language.
    What reads a network is left out: there is none here, and `make test-doors` runs exported ones."""
    page = (PROJECT / "docs" / "export.md").read_text()
    before, failed = os.getcwd(), 0
    os.chdir(place)
    try:
        examples = re.findall(r"```(python|sql)\n(.*?)```", page, re.DOTALL)
        examples = [(language, text) for language, text in examples if "runs/report/" in text]
        failed += len({"python", "sql"} - {language for language, _ in examples})
        for language, text in examples:
            try:
                if language == "python":
                    exec(text, {"print": lambda *_: None})
                else:
                    for query in text.split(";"):
                        duckdb.sql(query).fetchall() if query.strip() else None
            except Exception as error:
                print(f"docs/export.md: {error}\n{text}")
                failed += 1
    finally:
        os.chdir(before)
    return failed


COMPARISONS = {"read_back": read_back}
