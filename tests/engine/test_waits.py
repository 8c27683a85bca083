"""A GPU is waited for once in a step and once at the end of a validation, whatever is drawn."""

import pytest
import torch

from segttt.config.recipe import Augmentation
from segttt.data.augment import intensity
from segttt.data.loader import Loader
from segttt.engine import compute as computing
from segttt.engine.learner import Learner
from segttt.engine.train import Clock, Epoch, Start, fit
from segttt.losses.compound import deep_supervision_loss
from segttt.metrics.online import counts
from segttt.networks.build import build, spec
from tests.data.test_loader import flat_plan, stored
from tests.engine.conftest import small_plan
from tests.engine.waits import Waits

META = torch.device("meta")
ALL = Augmentation(
    rotation=1, scaling=1, noise=1, blur=1, brightness=1, contrast=1, low_resolution=1,
    gamma_inverted=1, gamma=1, mirror=1,
)  # fmt: skip
KINDS = ("volumes", "turned slices", "pictures")


def plan_of(kind):
    """A plan of the plain network with everything drawn and a masked channel."""
    plan = flat_plan() if kind == "pictures" else small_plan()
    return plan.model_copy(
        update={
            "augment": ALL.model_copy(update={"dummy_2d": kind == "turned slices"}),
            "normalisation": (plan.normalisation[0].model_copy(update={"masked": True}),),
            "network": spec("nnunet"),
            "train": plan.train.model_copy(
                update={"optimizer": "sgd", "average": 0.9, "val_iterations": 4, "epochs": 1}
            ),
        }
    )


def learner_of(plan, device="cpu"):
    network = build(plan.network, plan.topology, 1, plan.classes)
    return Learner(network, plan, computing.choose(device, "auto" if device == "cuda" else "fp32"))


def loader_of(folder, plan, *, augmented=True):
    patch = plan.topology.patch
    return Loader(stored(folder, 2, patch=patch), plan, seed=0, augmented=augmented)


@pytest.mark.parametrize("kind", KINDS)
def test_copying_and_augmenting_a_batch_waits_for_nothing(tmp_path, monkeypatch, kind):
    """On tensors without data, where reading a number or searching for voxels would raise."""
    plan = plan_of(kind)
    loader = loader_of(tmp_path, plan)
    samples = loader.read(0, META)
    monkeypatch.setattr(intensity, "add_noise", lambda sample, std, seed: sample + std)
    with Waits() as waits:
        batch = loader.finish(samples, META)
    assert batch.images.shape[2:] == batch.labels.shape[1:] == plan.topology.patch
    drawn = [value for one in samples for name, value in vars(one.draw).items() if name != "blur"]
    assert all(drawn)
    windows = 2 * len(samples)
    blurs = sum(len(axes) for one in samples for axes in one.draw.blur)
    assert waits.counts == {"queued": windows + blurs}


def test_noise_waits_for_nothing():
    """It has no generator for tensors without data."""
    still = torch.zeros(1, 8, 8)
    with Waits() as waits:
        intensity.add_noise(still, 0.1, 7)
    assert not waits.counts


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_counts_wait_for_nothing(kind):
    plan = plan_of(kind)
    grid, random = plan.topology.patch, torch.empty(2, plan.classes, *plan.topology.patch)
    labels = torch.empty(2, *grid, dtype=torch.long, device=META)
    full = random.to(META).requires_grad_()
    outputs = [full, full[..., ::2, ::2]]
    with Waits() as waits:
        for over_batch in (False, True):
            deep_supervision_loss(outputs, labels, (0.7, 0.3), over_batch=over_batch).backward()
        assert counts(full, labels).shape == (plan.classes - 1, 3)
    assert not waits.counts


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", ["volumes", "pictures"])
def test_a_step_is_waited_for_once(tmp_path, kind, scaled):
    plan = plan_of(kind)
    learner = learner_of(plan)
    learner.scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    (batch,) = loader_of(tmp_path, plan).batches(range(1), torch.device("cpu"))
    with Waits() as waits:
        begun = learner.begin(batch, 1e-3)
        assert not waits.counts
        learner.finish(begun)
    assert waits.counts == {"tolist": 1}


def test_a_validation_is_waited_for_at_its_end(tmp_path):
    plan = plan_of("volumes")
    loaders = [loader_of(tmp_path / one, plan, augmented=False) for one in "ab"]
    learner = learner_of(plan)
    clock = Clock(plan.train, limit_seconds=None)
    events = fit(learner, *loaders, clock, Start())
    for _ in range(plan.train.iterations):
        next(events)
    with Waits() as waits:
        epoch = next(events)
    assert isinstance(epoch, Epoch)
    assert waits.counts == {"tolist": 2}  # losses, and overlaps


def test_what_waits_is_counted():
    values = torch.rand(4)
    with Waits() as waits:
        values.sum().item()
        values[values > 2]
        bool(values.any())
        values.new_tensor([1.0])
        values.to(META)
        torch.bincount(values.long())
    assert set(waits.counts) == {"item", "index", "__bool__", "new_tensor", "copied", "bincount"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="only a GPU can be waited for")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_is_not_waited_for(tmp_path, kind):
    """PyTorch itself raises where it would wait; the end of a step is an event."""
    plan, device = plan_of(kind), torch.device("cuda")
    learner = learner_of(plan, "cuda")
    batches = loader_of(tmp_path, plan).batches(range(6), device)
    for _ in range(2):  # memory is pinned and kernels are chosen
        learner.step(next(batches), 1e-3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches:
            learner.step(batch, 1e-3)
            learner.validate(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
