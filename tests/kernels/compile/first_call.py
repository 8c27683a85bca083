"""What the first training step of a network compiles for an H100 or H200, which needs no GPU.

    python -m tests.kernels.compile.first_call [NETWORK ...] [--json]

One line per network of preset flare22: how many kernels its layers launch, forward and backward, in
how many forms, and how long one core takes to compile them. The network runs on tensors without
data; each call of an operator goes to the code that launches kernels, up to the launch.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from types import SimpleNamespace

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from segttt.config.preset import load
from segttt.networks.build import build, spec
from tests.kernels.launches import Launching

NETWORKS = ("ttt-unet-bot", "ttt-unet-enc", "umamba-enc", "mm-unet")


@dataclass
class Compiled:
    """What a network has compiled."""

    network: str
    seconds: float
    forms: dict[str, int]
    """By kernel, for how many kinds of arguments."""


Noted = list[tuple[JITFunction, float]]
"""Kernels and the processor time that they took to compile."""


def compile_instead_of_launching() -> Noted:
    """From now on, and note it in what is returned."""
    triton.runtime.driver.set_active(
        SimpleNamespace(
            get_current_target=lambda: GPUTarget("cuda", 90, 32),
            get_current_device=lambda: 0,
            get_current_stream=lambda _: 0,
        )
    )
    launch, compile_one, noted = JITFunction.run, JITFunction._do_compile, []

    def run(self, *args, warmup, **kwargs):
        return launch(self, *args, warmup=True, **kwargs)

    def compile_and_note(self, *args):
        before = os.times()
        built = compile_one(self, *args)
        noted.append((self, sum(os.times()[:4]) - sum(before[:4])))
        return built

    JITFunction.run, JITFunction._do_compile = run, compile_and_note
    return noted


def first_step(name: str, noted: Noted) -> Compiled:
    """What one step of the network compiles where nothing has been compiled before."""
    preset = load("flare22")
    for kernel, _ in noted:
        kernel.device_caches.clear()
    noted.clear()
    with tempfile.TemporaryDirectory() as folder:
        triton.knobs.cache.dir = folder
        with torch.device("meta"):
            network = build(spec(name), preset.topology, 1, 14)
            images = torch.empty(preset.batch, 1, *preset.topology.patch)
        with Launching():
            sum(logits.sum() for logits in network(images)).backward()
    forms = dict(Counter(kernel.fn.__name__ for kernel, _ in noted))
    return Compiled(name, sum(seconds for _, seconds in noted), forms)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    noted = compile_instead_of_launching()
    found = [first_step(name, noted) for name in options.networks]
    if options.json:
        print(json.dumps([asdict(one) for one in found]))
        return
    print("| network | kernels | forms | s |\n|---|---|---|---|")
    for one in found:
        print(
            f"| {one.network} | {len(one.forms)} | {sum(one.forms.values())} | {one.seconds:.1f} |"
        )


if __name__ == "__main__":
    main()
