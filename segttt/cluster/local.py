"""One function over many cases, in this process."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from segttt.cluster.memory import Gate
from segttt.errors import CaseMemoryError, SegtttError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_cases(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    bytes_of: Callable[[Item], int] | None = None,
) -> Iterator[tuple[Item, Result | SegtttError]]:
    """Apply a function to each item in order; an expected error is a result, the others go on.

    Threads, not processes: reading, decompression and products release the interpreter, nothing
    has to be copied between processes and no worker can die unseen. At most two results per
    worker wait in memory. Items run at once only as far as there is memory for what `bytes_of`
    says that they take; what still does not fit is tried again while no other item runs.
    """
    gate = Gate()

    def attempt(item: Item) -> Result | SegtttError:
        with gate.room(bytes_of(item) if bytes_of else 0):
            try:
                return function(item)
            except SegtttError as error:
                return error

    def settle(item: Item, future: Future[Result | SegtttError]) -> Result | SegtttError:
        if not isinstance(future.result(), CaseMemoryError) or workers == 1:
            return future.result()
        wait([other for _, other in pending])
        return attempt(item)

    pending: deque[tuple[Item, Future[Result | SegtttError]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(attempt, item)))
                if len(pending) >= 2 * workers:
                    done, future = pending.popleft()
                    yield done, settle(done, future)
            while pending:
                done, future = pending.popleft()
                yield done, settle(done, future)
        finally:
            for _, future in pending:
                future.cancel()
