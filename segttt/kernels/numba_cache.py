"""Compiled loops stay on disk from one process to the next."""

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numba import njit

from segttt.kernels.numba_products import LOOPS


def kept(make: Callable[[int], Callable[..., None]], loops: Mapping[str, Any] = LOOPS) -> Any:
    """Compile what `make` gives, for Python to call, at the first call on this processor.

    Numba puts the result beside the source, or into the user's cache where it may not write there;
    where it may write to neither, each process compiles. It would notice changes in one source file
    only. What `make` is given stands for all of them and has to appear in the function's text.
    `loops` are numba's options.
    """
    made = make(_digest())
    try:
        return njit(cache=True, **loops)(made)
    except RuntimeError:  # neither place can be written to
        return njit(**loops)(made)


def sources() -> list[Path]:
    """The files that hold loops, and the one that says how long their chunks are."""
    here = Path(__file__).parent
    return [*sorted(here.rglob("numba_*.py")), here / "selective_scan" / "cpu.py"]


def _digest() -> int:
    return zlib.crc32(b"".join(path.read_bytes() for path in sources()))
