import pytest
import torch

from segttt.cases import Batch
from segttt.config.recipe import Recipe
from segttt.engine import compute as computing
from segttt.engine.checkpoint import load_state, save_state
from segttt.engine.learner import MAX_LOWERED, MAX_SKIPPED, Learner
from segttt.errors import NonFiniteError, UsageError
from segttt.networks.build import build
from tests.engine.conftest import small_plan

CPU = computing.choose("cpu", "fp32")


def learner_of(plan, seed=0, compute=CPU):
    computing.seed_everything(seed, deterministic=False)
    network = build(plan.network, plan.topology, 1, plan.classes)
    return Learner(network, plan, compute)


def batch_of(seed=0):
    random = torch.Generator().manual_seed(seed)
    labels = torch.zeros(2, 8, 16, 16, dtype=torch.long)
    labels[:, 2:6, 3:9, 3:12] = 1
    labels[:, 4:8, 9:15, 4:10] = 2
    images = labels[:, None] + 0.1 * torch.randn(2, 1, 8, 16, 16, generator=random)
    return Batch(images, labels)


def test_one_batch_can_be_learned_by_heart(plan):
    learner = learner_of(plan)
    first = learner.step(batch_of(), 1e-2)
    for _ in range(80):
        last = learner.step(batch_of(), 1e-2)
    assert last < -0.85 < first
    _, counts = learner.validate(batch_of())
    dice = 2 * counts[:, 0] / (2 * counts[:, 0] + counts[:, 1] + counts[:, 2])
    assert dice.min() > 0.95


def test_bf16_learns_the_same_thing(plan):
    exact, rough = learner_of(plan), learner_of(plan, compute=computing.choose("cpu", "bf16"))
    for _ in range(10):
        a, b = exact.step(batch_of(), 1e-3), rough.step(batch_of(), 1e-3)
    # bf16 keeps 8 bits; ten steps let the losses drift by about a percent of their range
    assert a == pytest.approx(b, abs=0.03)


def test_a_loss_that_is_not_finite_stops_with_advice(plan):
    bad = batch_of()
    bad.images[0, 0, 0, 0, 0] = float("inf")
    with pytest.raises(UsageError, match=r"train\.lr"):
        learner_of(plan).step(bad, 1e-2)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_loss_that_is_not_finite_leaves_the_learner_as_it_was(plan, scaled):
    bad = batch_of()
    bad.images[0, 0, 0, 0, 0] = float("nan")
    losses = []
    for batches in ([batch_of()], [bad, batch_of()]):
        learner = learner_of(plan)
        learner.scaler = torch.amp.GradScaler("cpu", enabled=scaled, init_scale=8.0)
        for batch in batches[:-1]:
            with pytest.raises(NonFiniteError):
                learner.step(batch, 1e-2)
        assert learner.steps == 0
        losses.append([learner.step(batches[-1], 1e-2), learner.step(batch_of(1), 1e-2)])
        assert learner.scaler.get_scale() == (8.0 if scaled else 1.0)
    assert losses[0] == losses[1]


def test_a_scaled_gradient_that_is_not_finite_moves_no_weight_and_halves_the_scale(plan):
    learner = learner_of(plan)
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    hook = learner.parameters[0].register_hook(lambda grad: grad * float("inf"))
    learner.step(batch_of(), 1e-2)
    hook.remove()
    for name, value in learner.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert learner.scaler.get_scale() == 4.0
    plain = learner_of(plan)  # a scale that is a power of two changes no number
    assert learner.step(batch_of(), 1e-2) == plain.step(batch_of(), 1e-2)
    assert learner.step(batch_of(1), 1e-2) == pytest.approx(plain.step(batch_of(1), 1e-2), abs=1e-6)


def test_the_moving_average_follows_the_weights():
    plan = small_plan(train=Recipe(optimizer="adamw", precision="fp32", average=0.99))
    learner = learner_of(plan)
    start = [p.detach().clone() for p in learner.parameters]
    learner.step(batch_of(), 1e-2)
    averaged = learner.weights()
    for (name, now), before in zip(learner.network.named_parameters(), start, strict=True):
        decay = 2 / 11  # (1 + steps) / (10 + steps) after one step
        torch.testing.assert_close(averaged[name], decay * before + (1 - decay) * now.detach())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_resumed_steps_equal_uninterrupted_ones(tmp_path, optimizer, average):
    plan = small_plan(train=Recipe(optimizer=optimizer, precision="fp32", average=average))
    whole = learner_of(plan)
    for step in range(3):
        whole.step(batch_of(step), 1e-2)
    save_state(tmp_path, whole, {"epoch": 0})
    resumed = learner_of(plan, seed=99)
    record, notices = load_state(tmp_path, resumed)
    assert record["epoch"] == 0
    assert notices == []
    for step in range(3, 6):
        assert whole.step(batch_of(step), 1e-2) == resumed.step(batch_of(step), 1e-2)
    for name, value in whole.weights().items():
        assert torch.equal(value, resumed.weights()[name]), name


def test_two_generations_are_kept_and_a_broken_one_falls_back(plan, tmp_path):
    learner = learner_of(plan)
    for epoch in range(4):
        save_state(tmp_path, learner, {"epoch": epoch})
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["000002.safetensors", "000003.safetensors"]
    newest = tmp_path / "000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    record, notices = load_state(tmp_path, learner)
    assert record["epoch"] == 2
    assert "000003.safetensors" in notices[0]
    assert load_state(tmp_path / "nowhere", learner) is None


def test_a_gradient_that_is_not_finite_moves_no_weight_and_ends_the_training_when_it_stays(plan):
    learner = learner_of(plan)
    learner.step(batch_of(), 1e-2)
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    hook = learner.parameters[0].register_hook(lambda grad: grad * float("nan"))
    learner.step(batch_of(), 1e-2)
    for name, value in learner.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    for _ in range(MAX_SKIPPED - 2):
        learner.step(batch_of(), 1e-2)
    with pytest.raises(UsageError, match=r"network\.heads"):
        learner.step(batch_of(), 1e-2)
    hook.remove()
    learner.step(batch_of(), 1e-2)
    assert learner.skipped == 0


@pytest.mark.parametrize(("depth", "dtype"), [(8, torch.bfloat16), (4, torch.float32)])
def test_auto_precision_avoids_gradients_that_would_be_wrong(depth, dtype, monkeypatch):
    """Maps of depth 2 train in fp32, unless the user insists on bf16 and is refused."""
    monkeypatch.setattr(computing, "cpu_has_bf16", lambda: True)
    topology = small_plan().topology.model_copy(update={"patch": (depth, 16, 16)})
    for precision, expected in (("auto", dtype), ("bf16", torch.bfloat16)):
        recipe = small_plan().train.model_copy(update={"precision": precision})
        plan = small_plan(topology=topology, train=recipe)
        network = build(plan.network, topology, 1, 3)
        assert Learner(network, plan, computing.choose("cpu", precision)).compute.dtype == expected


def test_a_loss_scale_that_no_lowering_makes_good_ends_the_training(plan):
    learner = learner_of(plan)
    learner.scaler = torch.amp.GradScaler("cpu")
    learner.parameters[0].register_hook(lambda grad: grad * float("nan"))
    for _ in range(MAX_LOWERED - 1):
        learner.step(batch_of(), 1e-2)
    with pytest.raises(NonFiniteError, match=f"nan for {MAX_LOWERED} steps"):
        learner.step(batch_of(), 1e-2)
