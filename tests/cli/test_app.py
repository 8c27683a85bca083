"""The command line as a whole: help, exit codes, the list of options."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import typer

from segttt.cli import console, options
from segttt.cli.app import app, run
from segttt.errors import UsageError, ran_out_of_memory

COMMANDS = [
    "plan",
    "preprocess",
    "train",
    "predict",
    "evaluate",
    "compare",
    "report",
    "bench",
    "demo",
    "doctor",
]
GROUPS = {
    "presets": ["list", "show"],
    "networks": ["list", "show"],
    "data": ["check", "init", "split"],
}


def test_help_answers_without_torch():
    code = (
        "import sys; from segttt.cli.app import run; code = run(['train', '--help']); "
        "heavy = {'torch', 'numpy', 'SimpleITK', 'matplotlib'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", [[c] for c in COMMANDS] + [[g, c] for g, cs in GROUPS.items() for c in cs]
)
def test_every_help_has_an_example(command, capsys):
    assert run([*command, "--help"]) == 0
    assert f"segttt {' '.join(command)}" in " ".join(capsys.readouterr().out.split())


def test_the_list_of_options_is_frozen():
    """A new flag is a decision: most wishes are a field of the plan, set by --set."""
    root = typer.main.get_command(app)
    found = {}
    for name, command in root.commands.items():
        for sub, leaf in getattr(command, "commands", {"": command}).items():
            found[f"{name} {sub}".strip()] = sorted(
                option for p in leaf.params for option in p.opts if option.startswith("--")
            )
    shared = [
        "--cases",
        "--dry-run",
        "--instances",
        "--json",
        "--preset",
        "--set",
        "--workers",
        "--workspace",
    ]
    assert found == {
        "plan": sorted(
            [*shared, "--network", "--planner", "--recipe", "--dims", "--measure", "--show",
             "--splits"]
        ),
        "preprocess": sorted([*shared, "--data"]),
        "train": sorted(
            [*shared, "--data", "--network", "--planner", "--recipe", "--dims", "--fold",
             "--folds", "--epochs", "--iters", "--time-limit", "--seed", "--deterministic",
             "--resume", "--name", "--validate", "--device", "--threads", "--splits"]
        ),
        "predict": sorted(
            ["--model", "--out", "--folds", "--mirror", "--overlap", "--skip-done", "--set",
             "--series", "--resample-nonuniform", "--correct-tilt", "--format", "--seg-type",
             "--max-ram", "--entropy", "--probabilities",
             "--device", "--dry-run", "--json"]
        ),
        "evaluate": [
            "--dry-run", "--instances", "--iou", "--json", "--labels", "--lesions", "--out",
            "--preset", "--protocol",
            "--surfaces", "--tolerance", "--workers",
        ],
        "compare": ["--dry-run", "--json", "--out", "--preset"],
        "report": [
            "--cases", "--dry-run", "--fold", "--images", "--json", "--max-mb", "--network",
            "--out", "--scores", "--seed", "--workspace",
        ],
        "demo": ["--dry-run", "--json", "--network", "--out", "--seed", "--time-limit"],
        "bench": [
            "--batches", "--data", "--device", "--json", "--network", "--preset", "--set",
            "--threads", "--workspace",
        ],
        "doctor": ["--json"],
        "presets list": ["--json"],
        "presets show": ["--json"],
        "networks list": ["--json", "--preset"],
        "networks show": ["--json", "--preset"],
        "data check": ["--instances", "--json", "--preset", "--workers"],
        "data init": ["--dry-run", "--force", "--instances", "--json", "--out", "--patient"],
        "data split": [
            "--by-patient", "--dry-run", "--folds", "--force", "--instances", "--json", "--out",
            "--patient", "--seed", "--stratified", "--workers",
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["train", "--preset", "nosuch", "--data", "."], 2, "no preset 'nosuch'"),
        (["train"], 2, "Name a workspace"),
        (["train", "-w", "nowhere"], 2, "Name the folder of the data"),
        (["plan", "--preset", "laptop", "."], 3, ""),
        (["presets", "show", "nosuch"], 2, "Known presets"),
        (["train", "--data", ".", "--set", "novalue"], 2, "field=value"),
        (["train", "--data", ".", "--time-limit", "soon"], 2, "1h30m"),
        (["nosuch"], 2, "No such command"),
    ],
)
def test_errors_are_one_sentence_with_their_exit_code(
    command, code, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run(command) == code
    printed = capsys.readouterr().err
    assert words in " ".join(printed.split())
    assert "Traceback" not in printed


def test_doctor_and_presets_speak_json(capsys):
    assert run(["doctor", "--json"]) in (0, 6)
    subjects = {finding["subject"] for finding in json.loads(capsys.readouterr().out)}
    assert {"torch", "GPU", "CPU", "memory"} <= subjects
    assert run(["presets", "list", "--json"]) == 0
    assert {"flare22", "laptop"} <= {one["name"] for one in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("2m", 120), ("1h30m", 5400), (None, None)]
)
def test_time_limits(text, expected):
    assert options.seconds(text) == expected


@pytest.mark.parametrize("text", ["", "m", "2 m", "two", "-5", "0"])
def test_bad_time_limits(text):
    with pytest.raises(UsageError):
        options.seconds(text)


def test_running_out_of_memory_is_told_apart_from_a_bug():
    huge = 2**60
    with pytest.raises(MemoryError) as python:
        bytearray(huge)
    with pytest.raises(RuntimeError) as torch_cpu:
        torch.empty(huge // 4, dtype=torch.float32)
    with pytest.raises(MemoryError) as numpy:
        np.empty(huge // 8)
    assert all(ran_out_of_memory(caught.value) for caught in (python, torch_cpu, numpy))
    library = ImportError("libx.so: failed to map segment from shared object")
    assert ran_out_of_memory(library)  # a library that is loaded late, under `ulimit -v`
    assert ran_out_of_memory(RuntimeError("CUDA error: out of memory\nCUDA kernel errors might"))
    assert not ran_out_of_memory(RuntimeError("shapes do not match"))


def test_brackets_are_text_and_tables_are_whole_when_piped(capsys):
    wide = "pip install 'segttt[baselines]' " + "x" * 60
    console.table("Table", ["name", "needs"], [["[bold]", wide]], prose="needs")
    console.facts("", [("orders", "[a, b]")])
    printed = capsys.readouterr().out
    assert wide in printed
    assert "[bold]" in printed
    assert "[a, b]" in printed


def test_networks_are_shown_for_a_preset(capsys):
    assert run(["networks", "show", "mm-unet", "--preset", "flare22", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["network"]["orders"] == "B2"
    deepest = shown["stages"][5]
    assert (deepest["tokens"], deepest["mixer"]) == (210, "Mamba inside, width 320, orders a b")
    assert [stage["mixer"] for stage in shown["stages"][:2]] == ["", ""]
    assert run(["networks", "show", "unetr"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "48 x 224 x 192 voxels, multiples of 16 x 32 x 32" in printed
    assert "the preset's 40 x 224 x 192 rounded up; fixed by the weights" in printed
    assert "93,023,662" in printed


def test_networks_need_a_preset_with_a_window(capsys):
    assert run(["networks", "list", "--preset", "laptop"]) == 2
    assert "plans its window from data" in capsys.readouterr().err
    assert run(["networks", "show", "vm-unet", "--preset", "flare22"]) == 2
    assert "for pictures and slices" in capsys.readouterr().err
