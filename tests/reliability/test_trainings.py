"""Trainings that are killed at a step or come to NaN go on from the last good state, bit by bit."""

import random

import pytest

from tests.reliability.job import differences, files
from tests.reliability.processes import Job

EPOCHS, STEPS = 4, 5
NETWORKS = ("ttt-unet-bot", "nnunet", "ttt-unet-enc")


class Training:
    """One network and what its training leaves when nothing happens."""

    def __init__(self, work, network, precision="fp32", epochs=EPOCHS, steps=STEPS):
        self.work = work
        self.more = [
            "--network", network, "--set", f"train.precision={precision}", "--no-validate",
            "--epochs", str(epochs), "--iters", str(steps), "--deterministic",
        ]  # fmt: skip
        self.steps = epochs * steps
        self.place = work.fresh("train")
        assert self.run().status == 0
        self.whole = files(self.place)

    def again(self):
        """Nothing has been trained."""
        self.place = self.work.fresh("train")

    def run(self, *faults):
        """Train, or go on."""
        arguments = [*self.work.arguments("train", self.place), *self.more]
        (ended,) = self.work.server.run(Job(arguments, faults))
        return ended

    def killed(self, step):
        """Files that differ after a kill at a step and a second call."""
        self.again()
        ended = self.run(("killed_at_step", {"at": step}))
        assert ended.status == -9, ended.said
        ended = self.run()
        assert ended.status == 0, ended.said
        return differences(files(self.place), self.whole)

    def broken(self, step):
        """What is wrong after the loss of a step was NaN in full precision and a second call."""
        self.again()
        ended = self.run(("nan_at_step", {"at": step}))
        noticed = ended.status == 2 and f"became nan at step {step - 1}." in ended.said
        problems = [] if noticed else [f"exit {ended.status}: {ended.said}"]
        ended = self.run()
        problems += [] if ended.status == 0 else [ended.said]
        return [*problems, *differences(files(self.place), self.whole)]

    def mended(self, step):
        """What is wrong where the loss of a step was NaN in a lower precision."""
        self.again()
        ended = self.run(("nan_at_step", {"at": step}))
        good = ended.status == 0 and f"became nan at step {step - 1}." in ended.said
        problems = [] if good else [f"exit {ended.status}: {ended.said}"]
        events = [name for name, *_ in ended.told]
        back = events.index("roll_back")  # itself a resumption, which is told before it
        before = [told for name, *told in ended.told[: back - 1] if name in ("keep", "resume")]
        if before[-1] != ended.told[back][1:]:
            problems.append(f"not the last good state: {ended.told}")
        if before[-1][0] != (step - 1) // STEPS * STEPS:
            problems.append(f"not the beginning of the epoch: {before}")
        return problems


def test_a_kill_at_a_step(work):
    training = Training(work, "ttt-unet-bot", epochs=2, steps=3)
    assert training.killed(random.randint(1, 6)) == []


def test_nan_at_a_step(work):
    training = Training(work, "ttt-unet-bot", epochs=2, steps=3)
    assert training.broken(random.randint(1, 6)) == []


def test_a_state_that_a_kill_kept_from_being_removed(work):
    place = work.fresh("train")
    assert work.run("train", place).status == 0
    (state,) = place.rglob("state")
    (state / "000000.safetensors").write_bytes((state / "000001.safetensors").read_bytes())
    assert work.run("train", place).status == 0
    assert differences(files(place), work.expected("train", place)) == []


@pytest.mark.reliability
@pytest.mark.parametrize("network", NETWORKS)
def test_kills_at_every_step(work, network, table):
    training = Training(work, network)
    wrong = [step for step in range(1, training.steps + 1) if training.killed(step)]
    held = training.steps - len(wrong)
    table("E17", f"{network} killed at a step: same weights", training.steps, held)
    assert not wrong


@pytest.mark.reliability
def test_nan_at_every_step(work, table):
    training = Training(work, "ttt-unet-bot")
    results = [training.broken(step) for step in range(1, training.steps + 1)]
    wrong = [one for one in results if one]
    table("E18", "NaN in fp32: noticed, resumed exactly", len(results), len(results) - len(wrong))
    assert not wrong, wrong[0]


@pytest.mark.reliability
def test_nan_in_lower_precision_at_every_step(work, table):
    training = Training(work, "ttt-unet-bot", "bf16")
    results = [training.mended(step) for step in range(1, training.steps + 1)]
    wrong = [one for one in results if one]
    table("E18", "NaN in bf16: noticed, taken back", len(results), len(results) - len(wrong))
    assert not wrong, wrong[0]
