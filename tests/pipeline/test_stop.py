"""Trainings that are asked to end, that come to a number that is none, or that meet another one."""

import hashlib
import json
import os
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from segttt.cli.app import run
from segttt.commands.train import Options, train
from segttt.commands.watch import Silent
from segttt.config.overrides import override
from segttt.engine.learner import Learner
from segttt.errors import NonFiniteError, StoppedEarlyError, UsageError
from segttt.io.workspace import Workspace, locked
from tests.pipeline.conftest import SMALL

STEPS = 5


@pytest.fixture(scope="module")
def workspace(tiny_cohort, tmp_path_factory) -> Workspace:
    folder = tmp_path_factory.mktemp("stop") / "run"
    command = ["preprocess", "--preset", "laptop", "--data", str(tiny_cohort), "-w", str(folder)]
    more = ["--set", "network.heads=4", "--set", "train.epochs=3", "--set", "train.precision=bf16"]
    assert run([*command, *SMALL, *more, "--set", f"train.iterations={STEPS}"]) == 0
    return Workspace(folder)


@dataclass
class Listening(Silent):
    """Counts steps, sends this process a signal after one of them, and keeps the notices."""

    after: int = -1
    number: signal.Signals = signal.SIGTERM
    steps: int = 0
    notes: list[str] = field(default_factory=list)

    def status(self, text: str) -> None:
        self.steps += 1
        if self.steps == self.after:
            os.kill(os.getpid(), self.number)

    def note(self, text: str) -> None:
        self.notes.append(text)


def trained(workspace: Workspace, label: str, watch: Silent | None = None, **plan) -> Path:
    options = Options(label=label, threads=1, deterministic=True, validate=False)
    changed = override(workspace.plan(), plan)
    return train(workspace.dataset(), changed, workspace, options, watch or Silent()).folder


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(workspace) -> str:
    """The model of a training that nothing happened to."""
    return digest(trained(workspace, "whole"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_asked_to_end_at_any_step_and_resumed_equals_uninterrupted(workspace, whole, number):
    step = random.Random().randint(1, 3 * STEPS - 1)
    before = signal.getsignal(number)
    with pytest.raises(StoppedEarlyError, match=f"after step {step};") as stopped:
        trained(workspace, f"asked {number}", Listening(after=step, number=number))
    assert stopped.value.exit_code == 75
    assert signal.getsignal(number) == before
    watch = Listening()
    assert digest(trained(workspace, f"asked {number}", watch)) == whole
    assert watch.steps == 3 * STEPS - step
    assert any("Resumed" in note for note in watch.notes)


def test_a_loss_that_is_no_number_is_made_good_in_fp32_once(workspace, monkeypatch):
    seen = failing_at(monkeypatch, random.Random().randint(1, 3 * STEPS), only=torch.bfloat16)
    watch = Listening()
    folder = trained(workspace, "nan", watch)
    assert seen, "the loss was never broken"
    assert any("fp32" in note for note in watch.notes)
    assert all(torch.isfinite(torch.tensor(one)) for one in losses(folder))
    assert len(losses(folder)) == 3


def test_what_came_of_it_stays_in_fp32_after_a_stop(workspace, monkeypatch):
    failing_at(monkeypatch, 2, only=torch.bfloat16)
    with pytest.raises(StoppedEarlyError):
        trained(workspace, "nan and stop", Listening(after=STEPS + 2))
    monkeypatch.undo()
    dtypes = []
    honest = Learner.loss
    monkeypatch.setattr(
        Learner,
        "loss",
        lambda self, batch: dtypes.append(self.compute.dtype) or honest(self, batch),
    )
    trained(workspace, "nan and stop")
    assert set(dtypes) == {torch.float32}


def test_a_loss_that_stays_no_number_ends_with_the_last_good_model(workspace, monkeypatch):
    failing_at(monkeypatch, STEPS + 2, only=None)
    with pytest.raises(NonFiniteError, match="last good epoch is kept"):
        trained(workspace, "always nan")
    folder = workspace.run("always nan", 0, 0)
    assert (folder / "state" / "000000.safetensors").is_file()
    assert (folder / "best.safetensors").is_file()
    assert not (folder / "model.safetensors").exists()


def test_a_training_belongs_to_one_process(workspace):
    folder = workspace.run("busy", 0, 0)
    with locked(folder, "trains"), pytest.raises(UsageError, match="another segttt trains here"):
        trained(workspace, "busy")


def failing_at(monkeypatch, step: int, *, only: torch.dtype | None) -> list[int]:
    """Make the loss of a step NaN, in one precision or in any; lists the steps it happened at."""
    honest, seen = Learner.loss, []

    def broken(self: Learner, batch):
        value = honest(self, batch)
        if self.steps + 1 != step or only not in (None, self.compute.dtype):
            return value
        seen.append(self.steps)
        return value * float("nan")

    monkeypatch.setattr(Learner, "loss", broken)
    return seen


def losses(folder: Path) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["train_loss"] for line in lines]


def test_what_a_killed_training_left_unfinished_is_cleared_away(workspace):
    state = workspace.run("left over", 0, 0) / "state"
    state.mkdir(parents=True)
    (state / ".tmp-0123456789ab.safetensors").write_bytes(b"half")
    trained(workspace, "left over")
    assert not list(state.glob(".tmp-*"))
    assert list(state.glob("*.safetensors"))
