"""Compiled loops stay on disk from one process to the next."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from segttt.kernels.numba_products import LOOPS


def kept(make: Callable[[int], Callable[..., None]]) -> Any:
    """Compile what `make` gives, for Python to call, at the first call on this processor.

    Numba puts the result beside the source, or into the user's cache where it may not write there;
    where it may write to neither, each process compiles. It would notice changes in one source file
    only. What `make` is given stands for all of them and has to appear in the function's text.
    """
    loops = make(_digest())
    try:
        return njit(cache=True, **LOOPS)(loops)
    except RuntimeError:  # neither place can be written to
        return njit(**LOOPS)(loops)


def sources() -> list[Path]:
    """The files that hold loops."""
    return sorted(Path(__file__).parent.rglob("numba_*.py"))


def _digest() -> int:
    return zlib.crc32(b"".join(path.read_bytes() for path in sources()))
