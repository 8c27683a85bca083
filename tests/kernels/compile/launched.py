"""What the operators launch, with arguments and grids as they are, compiled but not run.

    python -m tests.kernels.compile.launched [--whole] [--only OPERATOR] [--processes 2] [--json]

One line per kernel and form: what is wrong with how its programs use memory (`hazards.py`). Without
--whole, one call of each operator, forward and backward; with it, the sizes of the presets, and all
that the operators can do. An operator is also a module with calls(), as a sample has.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from multiprocessing import get_context

import triton
from torch import Tensor
from triton.runtime.jit import JITFunction

from tests.kernels.compile import hazards
from tests.kernels.compile.first_call import compile_instead_of_launching

CALLS = "tests.kernels.compile.calls"
OPERATORS = ("ttt_inputs", "ttt_linear", "ttt_mlp", "causal_conv", "selective_scan")
APART = 1 << 40
"""Bytes from the beginning of one tensor to that of the next."""

NUMBERS = {"ways": (1, -1), "turned": (0, 1)}
"""The integers that kernels load: of two heads, the second is read backwards."""


REAL = ("eps", "share")
"""Arguments that must not be compiled in or as an integer, as a Python integer 1 would be."""


@dataclass(frozen=True)
class Launched:
    """A kernel that a call launches, its grid, and what is wrong with how it uses memory."""

    call: str
    kernel: str
    grid: tuple[int, ...]
    faults: list[str]
    seconds: float
    """To look for them."""


Seen = Callable[[JITFunction, object, tuple[int, int, int], Mapping[str, object]], None]
"""Is told of a kernel, its compiled form, its grid, and its arguments by name."""


@dataclass(frozen=True)
class Program:
    """In place of a compiled kernel, which may be launched once more with another grid."""

    kernel: JITFunction
    built: object
    see: Seen

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*args: object) -> None:
            given = dict(zip(self.kernel.arg_names, args, strict=True))
            self.see(self.kernel, self.built, (*grid, 1, 1)[:3], given)

        return launch


@contextmanager
def seen_by(see: Seen) -> Iterator[None]:
    """Tell of each launch."""
    plain = JITFunction.run

    def run(self, *args, grid, **kwargs):
        built = plain(self, *args, grid=grid, **kwargs)
        given = dict(zip(self.arg_names, args, strict=False)) | kwargs
        see(self, built, (*grid, 1, 1)[:3], given)
        return Program(self, built, see)

    JITFunction.run = run
    try:
        yield
    finally:
        JITFunction.run = plain


def launch(
    built: object, grid: tuple[int, int, int], given: Mapping[str, object]
) -> hazards.Launch:
    """As the compiled kernel gets it, each storage in a region of its own."""
    regions: dict[int, int] = {}
    arguments, memory = [], []
    for name, kind in built.src.signature.items():
        value = given[name]
        if isinstance(value, Tensor):
            storage, each = value.untyped_storage(), value.element_size()
            begin = regions.setdefault(storage._cdata, len(regions) + 1) * APART
            memory.append(hazards.Memory(begin, storage.nbytes(), NUMBERS.get(name), each))
            value = begin + value.storage_offset() * each
        if kind != "constexpr":
            arguments.append(value if isinstance(value, int) else None)
    return hazards.Launch([*arguments, None, None], grid, memory)


def checked(task: tuple[str, str]) -> list[Launched]:
    """What a call of a module launches, each form of a kernel once."""
    module, name = task
    call = import_module(module).calls()[name]
    found: dict[tuple[str, str], Launched] = {}

    def see(kernel, built, grid, given):
        form = (kernel.fn.__name__, built.hash + str(given.get("state")))
        if form in found:
            return
        before = time.perf_counter()
        faults = hazards.faults(built.asm["ptx"], launch(built, grid, given))
        kinds = {one: built.src.signature.get(one, "fp32") for one in REAL}
        faults += [f"{one} is compiled as {kind}" for one, kind in kinds.items() if kind != "fp32"]
        spent = time.perf_counter() - before
        found[form] = Launched(name, kernel.fn.__name__, grid, faults, spent)

    compile_instead_of_launching()
    with tempfile.TemporaryDirectory() as folder, seen_by(see):
        triton.knobs.cache.dir = folder
        call()
    return list(found.values())


def asked(name: str, whole: bool) -> list[tuple[str, str]]:
    """The module and the calls of an operator, or all of a module."""
    if "." in name:
        return [(name, one) for one in import_module(name).calls()]
    mine = [(CALLS, one) for one in import_module(CALLS).calls() if one.startswith(name)]
    return mine if whole else mine[:1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--only", action="append", help="an operator, or a module with calls()")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tasks = [task for name in options.only or OPERATORS for task in asked(name, options.whole)]
    found = []
    if not options.json:
        print("| call | kernel | grid | s | fault |\n|---|---|---|---|---|")
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        for one in (one for each in pool.map(checked, tasks) for one in each):
            found.append(one)
            if not options.json:
                faults = "; ".join(one.faults)
                line = f"| {one.call} | {one.kernel} | {one.grid} | {one.seconds:.1f} | {faults} |"
                print(line, flush=True)
    if options.json:
        print(json.dumps([asdict(one) for one in found]))
        return
    sys.exit(any(one.faults for one in found))


if __name__ == "__main__":
    main()
