"""Every launch of every network fits the grids that CUDA has."""

from collections.abc import Callable

import pytest
import torch

from segttt.config.preset import load, names
from segttt.networks.build import build, spec
from tests.kernels.compile.calls import linear, mlp, scan
from tests.kernels.launches import Launching

interpreter = pytest.importorskip("triton.runtime.interpreter")

NETWORKS = ("ttt-unet-bot", "ttt-unet-enc", "mm-unet", "mm-unet-ttt", "umamba-bot", "umamba-enc")
LARGEST = (2**31 - 1, 2**16 - 1, 2**16 - 1)
"""Programs along the axes of a grid, from compute capability 3.0 on."""

THREADS = 1024
"""Of a program."""

STAGE = (64, 160, 160)
"""Tokens of the first stage at a CT's patch of the presets, along the axes."""


@pytest.fixture
def launches(monkeypatch) -> list[tuple[str, tuple[int, ...], int]]:
    """Kernel, grid and warps of each launch, in place of the launch."""
    found = []

    def note(self, *_args, num_warps=4, **_options):
        found.append((self.fn.__name__, self.grid, num_warps))

    monkeypatch.setattr(interpreter.GridExecutor, "__call__", note)
    return found


def too_large(launches: list[tuple[str, tuple[int, ...], int]]) -> set[str]:
    """What CUDA would refuse."""
    return {
        f"{kernel} {grid} of {warps} warps"
        for kernel, grid, warps in launches
        if min(grid) < 1
        or any(size > most for size, most in zip(grid, LARGEST, strict=False))
        or warps * 32 > THREADS
    }


def test_what_is_too_large_is_named():
    fits = ("one", (2**31 - 1, 2**16 - 1), 32)
    assert too_large([fits]) == set()
    for grid, warps in (((2**31,), 4), ((1, 2**16), 4), ((1, 1, 2**16), 4), ((0,), 4), ((1,), 64)):
        assert len(too_large([fits, ("one", grid, warps)])) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda n: linear(32, 64, "bf16", samples=2, tokens=n),
        lambda n: mlp(32, 64, "bf16", samples=2, tokens=n),
        lambda n: scan(16, 64, n, "fp32", gate=True),
    ],
    ids=["ttt_linear", "ttt_mlp", "selective_scan"],
)
def test_a_whole_ct_as_one_sequence_fits(launches, call: Callable[[int], None]):
    call(torch.Size(STAGE).numel())
    assert len(launches) > 1
    assert too_large(launches) == set()


@pytest.mark.parametrize(
    "call",  # sequences of ttt_linear lie along y, as many as there can be
    [
        lambda: linear(8, 16, "bf16", samples=(2**16 - 1) // 2),
        lambda: linear(8, 100, "fp32", samples=(2**16 - 1) // 2),
        lambda: mlp(8, 16, "bf16", samples=2**17),
        lambda: scan(16, 64, 70, "fp32", samples=2**17, gate=True),
        lambda: scan(16, 64, 70, "bf16", samples=2**17, merge="none"),
        lambda: scan(16, 2**16, 70, "fp32", gate=True),
    ],
)
def test_many_short_sequences_and_many_channels_fit(launches, call: Callable[[], None]):
    call()
    assert len(launches) > 1
    assert too_large(launches) == set()


@pytest.mark.parametrize("preset", [name for name in names() if load(name).topology])
@pytest.mark.parametrize("name", NETWORKS)
def test_all_networks_of_all_presets_fit(launches, preset, name):
    given = load(preset)
    with torch.device("meta"):
        network = build(spec(name), given.topology, 1, 5)
        images = torch.empty(given.batch, 1, *given.topology.patch)
    with Launching():
        sum(logits.sum() for logits in network(images)).backward()
    assert len(launches) > 1
    assert too_large(launches) == set()
