"""The protocols paper, flare22 and nnunet against the programs that they repeat.

    python -m benchmarks.metrics.protocols ORIGINALS --python PYTHON [--cases 60] [--cells 500]

ORIGINALS is a folder with the scripts of U-Mamba (abdomen_DSC_Eval.py, abdomen_NSD_Eval.py,
endoscopy_DSC_Eval.py, endoscopy_NSD_Eval.py, compute_cell_metric.py), of FLARE
(FLARE22_DSC_NSD_Eval.py, T2andT3_FLARE24_DSC_NSD_Eval.py) and the SurfaceDice.py that they import,
as published; PYTHON has the packages that they need, and nnunetv2. Both sides score the same random
files, and the table says how far they are apart.
"""

import argparse
import csv
import json
import math
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.metrics.protocol_cases import write_cells, write_pictures, write_volumes
from segttt.commands.evaluate import evaluate
from segttt.commands.scores.pairing import pairs
from segttt.commands.scores.scoring import Kind, Request, score_files, scoring_of, told_by
from segttt.commands.watch import Silent
from segttt.config.report import Protocol, Summary
from segttt.metrics.protocols import case_mean

NUMPY_2 = """
import runpy, sys, warnings
import numpy as np
np.Inf, np.NaN = np.inf, np.nan  # names that NumPy 2 took away
warnings.simplefilter("ignore")
folder, script, *sys.argv[1:] = sys.argv[1:]
sys.path.insert(0, folder)
runpy.run_path(f"{folder}/{script}", run_name="__main__")
"""
NNUNET = """
import sys
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
if __name__ == "__main__":
    truth, found, out = sys.argv[1:]
    labels = list(range(1, 14))
    compute_metrics_on_folder(truth, found, out, SimpleITKIO(), ".nii.gz", labels, num_processes=1)
"""
Scores = Mapping[tuple[str, str], float]
"""(case, column) -> score; NaN where there is none."""


@dataclass(frozen=True)
class Originals:
    """The published programs."""

    folder: Path
    python: Path

    def run(self, script: str, *arguments: object, cwd: Path) -> str:
        """What the script prints; its last line of complaint where it fails."""
        call = [self.python, "-c", NUMPY_2, self.folder.resolve(), script, *arguments]
        return _run(call, cwd)

    def nnunet(self, *arguments: object, cwd: Path) -> str:
        """The same of nnU-Net's evaluation."""
        (cwd / "by_nnunet.py").write_text(NNUNET)
        return _run([self.python, "by_nnunet.py", *arguments], cwd)


def _run(call: list[object], cwd: Path) -> str:
    done = subprocess.run(
        list(map(str, call)), cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else f"fails: {done.stderr.splitlines()[-1]}"


def ours(
    folder: Path, protocol: Protocol, preset: str | None, truth: str = "truth"
) -> tuple[Summary, list[dict[str, str]], list[dict[str, str]]]:
    """Summary, cases.csv and cells.csv of the folder's predictions."""
    out = folder / protocol
    request = Request(protocol, preset)
    done = evaluate(folder / "found", folder / truth, out, Silent(), request=request)
    if done.failures:
        raise SystemExit(f"{done.failures[0].id}: {done.failures[0].reason}")
    tables = (_rows(out / name) for name in ("cases.csv", "cells.csv"))
    return done.summary, *tables


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open())) if path.exists() else []


def _number(text: str) -> float:
    return float(text) if text else math.nan


def report(name: str, theirs: Scores, mine: Scores, means: tuple[float, ...] | None) -> None:
    """A line of the table."""
    if theirs.keys() != mine.keys():
        raise SystemExit(f"{name}: other cases or columns, e.g. {theirs.keys() ^ mine.keys()}")
    off = [_apart(theirs[key], mine[key]) for key in theirs]
    different = sum(one >= 5e-5 for one in off)
    cases = len({case for case, _ in theirs} - {"mean"})
    printed = " | ".join(f"{mean:.6f}" for mean in means) if means else "| |"
    print(f"| {name} | {cases} | {len(off)} | {max(off):.0e} | {different} | {printed} |")


def _apart(one: float, other: float) -> float:
    if math.isnan(one) or math.isnan(other):
        return 0.0 if math.isnan(one) and math.isnan(other) else math.inf
    return abs(one - other)


def _average(printed: str) -> float:
    found = re.search(r"Average \w+ for .*?: (\S+)", printed)
    return float(found[1]) if found else math.nan


def report_volumes(originals: Originals, folder: Path, name: str) -> None:
    """The abdominal scripts, FLARE's and nnU-Net's on one folder of volumes."""
    strict, *_ = ours(folder, "strict", "flare22")
    summary, rows, _ = ours(folder, "paper", "flare22")
    for metric, kind in (("dice", "DSC"), ("nsd", "NSD")):
        out = folder / f"{kind}.csv"
        paths = ("--gt_path", "truth", "--seg_path", "found", "--save_path", out.name)
        printed = originals.run(f"abdomen_{kind}_Eval.py", *paths, cwd=folder)
        if not out.exists():
            print(f"| abdomen_{kind}_Eval, {name} | | | {printed} | | | | |")
            continue
        mine = {(row["case"], row["label"]): _number(row[metric]) for row in rows}
        means = _average(printed), getattr(summary, f"mean_{metric}") or math.nan
        strictly = getattr(strict, f"mean_{metric}") or math.nan
        report(f"abdomen_{kind}_Eval, {name}", _by_organ(out, kind), mine, (*means, strictly))
    summary, rows, _ = ours(folder, "flare22", "flare22")
    for script in ("T2andT3_FLARE24_DSC_NSD_Eval.py", "FLARE22_DSC_NSD_Eval.py"):
        _report_flare(originals, folder, f"{script[:-3]}, {name}", script, rows)
    _report_nnunet(originals, folder, name, strict)


def _by_organ(path: Path, kind: str) -> dict[tuple[str, str], float]:
    scores = {}
    for row in _rows(path):
        columns = [column for column in row if column.endswith(f"_{kind}")]
        for label, column in enumerate(columns, start=1):
            scores[row["Name"].removesuffix(".nii.gz"), str(label)] = _number(row[column])
    return scores


def _report_flare(
    originals: Originals, folder: Path, name: str, script: str, rows: list[dict[str, str]]
) -> None:
    for link, target in (("segmentation", "found"), ("ground truth", "truth"), ("Results", "")):
        place = folder / f"path to {link}"
        if target and not place.exists():
            place.symlink_to(target)
        place.mkdir(exist_ok=True)
    out = folder / "path to Results" / "DSC_NSD_teamname.csv"
    out.unlink(missing_ok=True)
    printed = originals.run(script, cwd=folder)
    if not out.exists():
        print(f"| {name} | | | {printed} | | | | |")
        return
    kinds = {"dice": "DSC", "nsd": "NSD"}
    theirs = {
        (case, f"{metric} {label}"): value
        for metric, kind in kinds.items()
        for (case, label), value in _by_organ(out, kind).items()
    }
    mine = {
        (row["case"], f"{metric} {row['label']}"): _number(row[metric])
        for row in rows
        for metric in kinds
    }
    if script.startswith("FLARE22"):
        low = {(row["case"], f"nsd {row['label']}") for row in rows if _number(row["dice"]) < 0.2}
        counted = {key for key in low if theirs[key]}
        mine = {key: value for key, value in mine.items() if key not in counted}
        theirs = {key: value for key, value in theirs.items() if key not in counted}
        name += f" (without {len(counted)} NSD above 0 where Dice < 0.2)"
    report(name, theirs, mine, None)


def _report_nnunet(originals: Originals, folder: Path, name: str, strict: Summary) -> None:
    summary, *_ = ours(folder, "nnunet", "flare22")
    printed = originals.nnunet("truth", "found", "nnunet.json", cwd=folder)
    if printed.startswith("fails"):
        print(f"| nnU-Net, {name} | | | {printed} | | | | |")
        return
    theirs = json.loads((folder / "nnunet.json").read_text())
    mine = json.loads((folder / "nnunet" / "summary_nnunet.json").read_text())
    means = theirs["foreground_mean"]["Dice"], summary.mean_dice or math.nan
    strictly = strict.mean_dice or math.nan
    report(f"nnU-Net, {name}", dict(_flat(theirs)), dict(_flat(mine)), (*means, strictly))


def _flat(content: dict) -> Iterator[tuple[tuple[str, str], float]]:
    def number(value: float | None) -> float:
        return math.nan if value is None else float(value)

    for case in content["metric_per_case"]:
        name = Path(case["prediction_file"]).name.removesuffix(".nii.gz")
        for label, figures in case["metrics"].items():
            for figure, value in figures.items():
                yield (name, f"{label} {figure}"), number(value)
    for label, figures in {**content["mean"], "all": content["foreground_mean"]}.items():
        for figure, value in figures.items():
            yield ("mean", f"{label} {figure}"), number(value)


def report_pictures(originals: Originals, folder: Path) -> None:
    """The scripts for endoscopy."""
    strict, *_ = ours(folder, "strict", "endovis17")
    summary, *_ = ours(folder, "paper", "endovis17")
    for metric, kind in (("dice", "DSC"), ("nsd", "NSD")):
        out = folder / f"{kind}.csv"
        paths = ("--gt_path", "truth", "--seg_path", "found", "--save_path", out.name)
        printed = originals.run(f"endoscopy_{kind}_Eval.py", *paths, cwd=folder)
        theirs = {(row["Name"].removesuffix(".png"), ""): _number(row[kind]) for row in _rows(out)}
        mine = {(case, ""): value for case, value in _case_means(folder, metric).items()}
        means = _average(printed), getattr(summary, f"mean_{metric}")
        strictly = getattr(strict, f"mean_{metric}")
        report(f"endoscopy_{kind}_Eval", theirs, mine, (*means, strictly))


def _case_means(folder: Path, metric: str) -> dict[str, float]:
    """Each case's mean as the summary takes it: evaluated once more, each on its own."""
    expected, given = pairs(folder / "found", folder / "truth")
    scoring, names = scoring_of(Request("paper", "endovis17"), told_by(folder / "found"))
    means = {}
    for case in expected:
        files = (given[case], expected[case])
        (one,) = score_files(case, files, names or {}, Kind(False, False), [scoring])
        means[case] = case_mean(one, metric, "paper")
    return means


def report_cells(originals: Originals, folder: Path, name: str) -> None:
    """The script for cells."""
    strict, *_ = ours(folder, "strict", "neurips-cell")
    summary, _, rows = ours(folder, "paper", "neurips-cell")
    printed = originals.run(
        "compute_cell_metric.py", "-g", "labels", "-s", "found", "-o", ".", "-n", "out", cwd=folder
    )
    columns = {
        "true_num": "n_truth", "pred_num": "n_prediction", "correct_num(TP)": "tp",
        "precision": "precision", "recall": "recall", "dice": "dice", "F1": "f1",
    }  # fmt: skip
    theirs = {
        (row["names"].removesuffix(".png"), column): _number(row[column])
        for row in _rows(folder / "out-0.5.csv")
        for column in columns
    }
    mine = {
        (row["case"], column): _number(row[own]) for row in rows for column, own in columns.items()
    }
    found = re.search(r"mean F1 Score: (\S+)", printed)
    means = float(found[1]) if found else math.nan, summary.cells.f1.mean, strict.cells.f1.mean
    report(f"compute_cell_metric, {name}", theirs, mine, means)
    print(printed.strip().splitlines()[-1] if "failed cases: []" not in printed else "", end="")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("originals", type=Path)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--cells", type=int, default=500)
    arguments = parser.parse_args()
    originals = Originals(arguments.originals, arguments.python.absolute())
    print("| program | cases | values | largest difference | other at 4 decimals ", end="")
    print("| its mean | our mean | strict mean |\n|" + " --- |" * 8)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_volumes(folder / "volumes", arguments.cases, flat_organs=False)
        report_volumes(originals, folder / "volumes", "volumes")
        write_volumes(folder / "flat", 10, flat_organs=True)
        report_volumes(originals, folder / "flat", "organs on one slice")
        write_pictures(folder / "pictures", arguments.cases)
        report_pictures(originals, folder / "pictures")
        write_cells(folder / "cells", arguments.cells, side=96)
        report_cells(originals, folder / "cells", "pictures")
        write_cells(folder / "large", 1, side=5003)
        report_cells(originals, folder / "large", "25 million pixels")


if __name__ == "__main__":
    main()
