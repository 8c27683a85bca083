"""What a command tells while it runs; the command line draws it, a program may ignore it."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")


@runtime_checkable
class Watch(Protocol):
    """Receives progress and notices."""

    def track(self, items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
        """Pass the items through, one unit of progress each."""
        ...

    def status(self, text: str) -> None:
        """A short text beside the running progress bar."""
        ...

    def milestone(self, text: str) -> None:
        """A part of the running job is finished."""
        ...

    def note(self, text: str) -> None:
        """A sentence that the user should read."""
        ...


class Silent:
    """Tells nothing."""

    def track(self, items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
        """Pass the items through."""
        yield from items

    def status(self, text: str) -> None:
        """Ignore a status."""

    def milestone(self, text: str) -> None:
        """Ignore a milestone."""

    def note(self, text: str) -> None:
        """Ignore a notice."""
