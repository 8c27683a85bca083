"""Tests of the training loop: what is queued when, and that it stops where it should."""

import torch

from segttt.data.loader import Loader
from segttt.engine import compute as computing
from segttt.engine.learner import Learner
from segttt.engine.optimise import learning_rate
from segttt.engine.train import Clock, Epoch, Start, Step, fit
from segttt.networks.build import build, spec
from tests.engine.conftest import small_plan
from tests.engine.test_learner import batch_of


class Listed(Loader):
    """Batches by their number; tells when each is asked for, and that it was closed."""

    def __init__(self, told):
        self.told, self.seed = told, 0

    def batches(self, steps, device):
        try:
            for step in steps:
                self.told.append(f"batch {step}")
                yield batch_of(step)
        finally:
            self.told.append("closed")


def learner_of(plan, told, monkeypatch):
    torch.manual_seed(0)
    network = build(plan.network, plan.topology, 1, plan.classes)
    learner = Learner(network, plan, computing.choose("cpu", "fp32"))
    begin, finish = learner.begin, learner.finish

    def begun(batch, lr):
        told.append(f"begin {lr:.3g}")
        return begin(batch, lr)

    def finished(one):
        told.append("finish")
        return finish(one)

    monkeypatch.setattr(learner, "begin", begun)
    monkeypatch.setattr(learner, "finish", finished)
    return learner


def trained(monkeypatch, clock=None, **recipe):
    plan = small_plan(network=spec("nnunet"))
    plan = plan.model_copy(update={"train": plan.train.model_copy(update=recipe)})
    told, events = [], []
    learner = learner_of(plan, told, monkeypatch)
    clock = clock or Clock(plan.train, limit_seconds=None)
    for event in fit(learner, Listed(told), None, clock, Start()):
        told.append("epoch" if isinstance(event, Epoch) else f"step {event.number}")
        events.append(event)
    return plan, told, events


def test_the_next_batch_is_queued_before_a_step_is_waited_for(monkeypatch):
    recipe = {"epochs": 1, "iterations": 3, "schedule": "poly", "schedule_per": "iteration"}
    plan, told, events = trained(monkeypatch, **recipe)
    rates = [f"begin {learning_rate(plan.train, step / 3):.3g}" for step in range(3)]
    assert len(set(rates)) == 3
    assert told == [
        "batch 0", rates[0], "batch 1", "finish", "step 1", rates[1], "batch 2", "finish",
        "step 2", rates[2], "closed", "finish", "step 3", "epoch",
    ]  # fmt: skip
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert events[-1].train_loss == sum(losses) / 3


def test_a_training_whose_time_is_up_lets_go_of_the_batches(monkeypatch):
    class Late(Clock):
        def progress(self, steps):
            return steps / 2

    clock = Late(small_plan().train, limit_seconds=None)
    _, told, events = trained(monkeypatch, clock, epochs=5, iterations=9)
    assert told[-4:] == ["finish", "step 2", "closed", "epoch"]
    assert events[-1].finished


def test_dropout_of_a_step_depends_on_its_number_only():
    plan = small_plan(network=spec("nnunet"))
    recipe = {"epochs": 1, "iterations": 4, "val_iterations": 0}
    plan = plan.model_copy(update={"train": plan.train.model_copy(update=recipe)})

    def learner_with_dropout():
        torch.manual_seed(0)
        network = build(plan.network, plan.topology, 1, plan.classes)
        network.register_forward_pre_hook(
            lambda module, inputs: torch.nn.functional.dropout(inputs[0], 0.5, module.training)
        )
        return Learner(network, plan, computing.choose("cpu", "fp32"))

    def losses(learner, start, stop):
        events = fit(learner, Listed([]), None, Clock(plan.train, limit_seconds=None), start)
        found = (event.loss for event in events if isinstance(event, Step))
        return [loss for _, loss in zip(range(stop), found, strict=False)]

    whole = losses(learner_with_dropout(), Start(), 4)
    learner = learner_with_dropout()
    first = losses(learner, Start(), 2)
    torch.manual_seed(99)  # another process
    assert first + losses(learner, Start(0, tuple(first)), 2) == whole
