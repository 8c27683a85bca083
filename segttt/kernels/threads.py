"""Sharing out the tasks of compiled loops among threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch


def share(tasks: int, work: Callable[[np.ndarray], None]) -> None:
    """Call `work` with consecutive parts [first, end] of the tasks, on as many threads as PyTorch.

    Threads of Python do, since the loops release the interpreter. Numba's own threads would be a
    second pool beside PyTorch's, and end the process when two callers meet or a process forks.
    """
    threads = max(1, min(tasks, torch.get_num_threads()))
    edges = [tasks * index // threads for index in range(threads + 1)]
    own, *others = (np.array(part) for part in pairwise(edges))
    if not others:
        work(own)
        return
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(work, part) for part in others]
        work(own)
        for one in running:
            one.result()
