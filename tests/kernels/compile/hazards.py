"""Where programs of a kernel use the same memory in no certain order, found by running it.

A GPU runs the threads of a program in any order between barriers, and programs in any order at all.
Triton puts barriers where shared memory needs them; for global memory there are only those of the
kernel's own, and those that happen to be there for shared memory, which count, too. So all uses of
global memory are noted, thread by thread, and those that meet are reported:

- between barriers, one thread stores what another thread loads or stores;
- a thread stores where a copy that it has begun has not ended, as it may have been moved ahead;
- one program stores what another program loads or stores;
- a load by way of the read-only cache of what the launch has stored;
- a use of what lies in none of the tensors of the launch.

Addresses are those of the PTX for the arguments given, so layouts, threads that do the same, loops,
masks and copies ahead are as they will be; pointers to one tensor are to one memory.

Not seen: what other arguments, and programs that are left out, would do; a load into a register
that Triton moves across the same thread's store; what ptxas makes of the PTX; what two launches do
on different streams; numbers, that is, also whether the right ones are read; shared memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import TypeGuard

import numpy as np

from tests.kernels.compile import integers, ptx
from tests.kernels.compile.integers import NotUnderstoodError, Value

UNIT = 2
"""Bytes; all numbers are of so many or a multiple."""

PROGRAMS = 6
"""At most so many of a launch are run. Programs are alike but for where they are."""


@dataclass(frozen=True)
class Memory:
    """A tensor of a launch: where it begins, its bytes, and its numbers, if these are integers."""

    begin: int
    size: int
    numbers: tuple[int, ...] | None = None
    bytes_each: int = 4


@dataclass(frozen=True)
class Launch:
    """A call of a kernel: arguments in their order, an integer for a pointer, None for a float."""

    arguments: Sequence[int | None]
    grid: tuple[int, int, int]
    memory: Sequence[Memory]


@dataclass
class Uses:
    """Units of memory, who uses them, and by which instruction."""

    units: list[np.ndarray] = field(default_factory=list)
    users: list[np.ndarray] = field(default_factory=list)
    stores: list[np.ndarray] = field(default_factory=list)
    lines: list[np.ndarray] = field(default_factory=list)

    def add(
        self, units: np.ndarray, users: np.ndarray, *, store: bool, line: int | np.ndarray
    ) -> None:
        self.units.append(units)
        self.users.append(users)
        self.stores.append(np.full(len(units), store))
        self.lines.append(np.broadcast_to(line, len(units)))

    def met(self) -> set[tuple[int, int]]:
        """Instructions, one of which stores, by which two users use the same."""
        if not any(one.all() for one in self.stores):
            return set()
        units, users, stores, lines = (
            np.concatenate(one) for one in (self.units, self.users, self.stores, self.lines)
        )
        order = np.argsort(units, kind="stable")
        units, users, stores, lines = (one[order] for one in (units, users, stores, lines))
        begins = np.flatnonzero(np.diff(units, prepend=-1))
        differ = np.minimum.reduceat(users, begins) != np.maximum.reduceat(users, begins)
        differ &= np.logical_or.reduceat(stores, begins)
        found = set()
        ends = np.append(begins[1:], len(units))
        for begin, end in zip(begins[differ], ends[differ], strict=True):
            one = begin + int(np.argmax(stores[begin:end]))
            for other in range(begin, end):
                if users[other] != users[one]:
                    found.add((int(lines[one]), int(lines[other])))
        return found


def faults(code: str, launch: Launch) -> list[str]:
    """One sentence per pair of lines that meet in a launch of the kernel with this PTX."""
    try:
        return sorted(_Watch(ptx.parse(code), launch).faults())
    except NotUnderstoodError as error:
        return [f"its memory is not understood: {error}"]


class _Watch:
    """Goes through programs of a launch, one after the other."""

    def __init__(self, code: ptx.Code, launch: Launch):
        self.code, self.launch = code, launch
        self.lines = list(dict.fromkeys(one.line for one in code.instructions))
        self.number = {line: i for i, line in enumerate(self.lines)}
        self.stored: set[int] = set()
        self.found: set[str] = set()

    def faults(self) -> set[str]:
        grid = self.launch.grid
        places = _some([one[::-1] for one in product(*(range(size) for size in reversed(grid)))])
        for place in places:
            self.stored |= {self._region(x) for x in self._events(place) if _stores(x)}
        together = Uses()
        for i, place in enumerate(places):
            mine: list[ptx.Access] = []
            self._program(self._events(place), mine)
            self._whole(i, mine, together)
        self._met(together, "by two programs")
        return self.found

    def _events(self, place: tuple[int, ...]) -> Iterator[ptx.Access | ptx.Meeting]:
        """All but accesses by no thread, whose places are checked."""
        given = (self.launch.arguments, self.launch.grid, place, self._numbers)
        for one in ptx.run(self.code, *given):
            if isinstance(one, ptx.Meeting):
                yield one
            elif len(one.addresses):
                self._bounds(one)
                yield one

    def _region(self, event: ptx.Access) -> int:
        """The tensor that is used, as the one that begins last before it."""
        return int(np.searchsorted(self.begins, event.addresses[0], "right"))

    @cached_property
    def begins(self) -> np.ndarray:
        return np.unique([one.begin for one in self.launch.memory])

    def _met(self, uses: Uses, how: str) -> None:
        for one, other in uses.met():
            first, second = self.lines[one], self.lines[other]
            self.found.add(f"{first} stores what {second} uses, {how}")

    def _ours(
        self, events: Iterator[ptx.Access | ptx.Meeting]
    ) -> Iterator[ptx.Access | ptx.Meeting]:
        """Without uses of tensors that the launch only loads, and with an end."""
        for one in events:
            if isinstance(one, ptx.Meeting) or self._region(one) in self.stored:
                yield one
        yield ptx.Meeting("all")

    def _program(self, events: Iterator[ptx.Access | ptx.Meeting], kept: list[ptx.Access]) -> None:
        """Look at what the threads do, and keep what they use."""
        threads, warps = Uses(), Uses()
        copies: list[list[ptx.Access]] = [[]]
        for event in self._ours(events):
            if isinstance(event, ptx.Access):
                kept.append(event)
                self._note(event, threads, warps)
                self._special(event, copies)
            elif event.kind == "group":
                copies.append([])
            elif event.kind == "wait":
                ended = copies[: max(0, len(copies) - 1 - event.left)]
                copies = copies[len(ended) :]
                for one in (copy for group in ended for copy in group):
                    self._note(one, threads, warps)
            else:
                self._met(threads, "between barriers")
                threads = Uses()
                if event.kind == "all":
                    self._met(warps, "between barriers")
                    warps = Uses()

    def _special(self, event: ptx.Access, copies: list[list[ptx.Access]]) -> None:
        """What concerns copies that have not ended, of which this may be one, and the cache."""
        if event.kind == "copy":
            copies[-1].append(event)
        elif event.kind == "store":
            self._overtaken(event, copies)
        elif event.kind == "cached":
            self.found.add(f"{event.line} loads from the read-only cache what is stored")

    def _note(self, event: ptx.Access, threads: Uses, warps: Uses) -> None:
        units, store = _units(event), event.kind == "store"
        users = np.repeat(event.threads, event.size // UNIT)
        line = self.number[event.line]
        threads.add(units, users, store=store, line=line)
        warps.add(units, users // integers.WARP, store=store, line=line)

    def _whole(self, index: int, events: list[ptx.Access], together: Uses) -> None:
        """What a program uses, each unit once for loads and once for stores."""
        for store in (False, True):
            mine = [
                (_units(one), self.number[one.line])
                for one in events
                if (one.kind == "store") == store
            ]
            if mine:
                lines = np.concatenate([np.full(len(units), line) for units, line in mine])
                units, at = np.unique(np.concatenate([x for x, _ in mine]), return_index=True)
                together.add(units, np.full(len(units), index), store=store, line=lines[at])

    def _overtaken(self, event: ptx.Access, copies: list[list[ptx.Access]]) -> None:
        units = _units(event)
        for one in (copy for group in copies for copy in group):
            if np.isin(_units(one), units).any():
                self.found.add(f"{event.line} stores what {one.line} has not yet copied")

    def _bounds(self, event: ptx.Access) -> None:
        inside = np.zeros(len(event.addresses), bool)
        for one in self.launch.memory:
            end = one.begin + one.size - event.size
            inside |= (event.addresses >= one.begin) & (event.addresses <= end)
        if not inside.all():
            self.found.add(f"{event.line} leaves the tensors")

    def _numbers(self, addresses: np.ndarray) -> Value:
        for one in self.launch.memory:
            if one.numbers is not None and len(addresses):
                at = (addresses - one.begin) // one.bytes_each
                if ((at >= 0) & (at < len(one.numbers))).all():
                    return np.array(one.numbers, np.int64)[at]
        return None


def _stores(event: ptx.Access | ptx.Meeting) -> TypeGuard[ptx.Access]:
    return isinstance(event, ptx.Access) and event.kind == "store"


def _some(places: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """All, or of many the first, the middle and the last."""
    if len(places) <= PROGRAMS:
        return places
    part = PROGRAMS // 3
    middle = len(places) // 2
    return places[:part] + places[middle : middle + part] + places[-part:]


def _units(event: ptx.Access) -> np.ndarray:
    first = event.addresses // UNIT
    return (first[:, None] + np.arange(event.size // UNIT)).ravel()
