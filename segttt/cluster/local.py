"""One function over many cases, in this process."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from segttt.errors import SegtttError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_cases(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[tuple[Item, Result | SegtttError]]:
    """Apply a function to each item in order; an expected error is a result, the others go on.

    Threads, not processes: reading, decompression and products release the interpreter, nothing
    has to be copied between processes and no worker can die unseen. At most two results per
    worker wait in memory.
    """

    def attempt(item: Item) -> Result | SegtttError:
        try:
            return function(item)
        except SegtttError as error:
            return error

    pending: deque[tuple[Item, Future[Result | SegtttError]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(attempt, item)))
                if len(pending) >= 2 * workers:
                    done, future = pending.popleft()
                    yield done, future.result()
            while pending:
                done, future = pending.popleft()
                yield done, future.result()
        finally:
            for _, future in pending:
                future.cancel()
