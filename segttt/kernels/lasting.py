"""Tensors that operators make once and keep."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from torch import Tensor


def lasting(make: Callable[[], Tensor]) -> Tensor:
    """What `make` gives, in a thread of its own, so that it may outlive the call.

    While `torch.compile` prepares a CUDA graph, all that the calling thread allocates on a GPU
    belongs to the graph, and PyTorch raises where any of it is kept. Modes, such as that of
    inference, are the calling thread's, too.
    """
    with ThreadPoolExecutor(1) as own:
        return own.submit(make).result()
