"""The addresses that a compiled kernel uses, thread by thread, found by running its integers.

What a program reads and writes follows from its arguments and its place in the grid, not from the
numbers in its tensors. So of its PTX only what leads to addresses, conditions and branches is run,
for all threads at once. Numbers from tensors are None; an address that needs one is refused.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tests.kernels.compile import integers
from tests.kernels.compile.integers import NotUnderstoodError, Value

STATEMENT = re.compile(r"(?:@(!?)(%p\d+)\s+)?([a-z][\w.:]*)\s*(.*)$")
OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*")
REGISTER = re.compile(r"%[a-z]+\d+")
PLACE = re.compile(r"\.loc\s+(\d+) (\d+).*?(?:inlined_at (\d+) (\d+))?(?: \d+)?\s*$")
ACCESSES = ("ld.global", "st.global", "cp.async.ca.", "cp.async.cg.", "atom.", "red.")
MEETINGS = ("bar.sync", "barrier.sync", "barrier.cta.sync", "bar.warp.sync", "cp.async.")
ENDS = ("ret", "exit", "trap")
KEPT = (*ACCESSES, *MEETINGS, *ENDS)
STEPS = 1_000_000
"""Instructions after which a program counts as endless."""


@dataclass(frozen=True)
class Instruction:
    operation: str
    operands: tuple[str, ...]
    guard: str | None
    negated: bool
    line: str
    """Of the source."""

    @property
    def made(self) -> list[str]:
        """Registers that it sets."""
        if self.operation.startswith(("st.", "bra", *MEETINGS, *ENDS)) or not self.operands:
            return []
        return REGISTER.findall(self.operands[0])

    @property
    def asked(self) -> list[str]:
        """What it hangs on; of an access to global memory, what says where it goes."""
        given = " ".join(self.operands if self.operation.startswith("st.") else self.operands[1:])
        if self.operation.startswith(("ld.", "st.global")):
            given = " ".join(one for one in self.operands if one.startswith("["))
        return REGISTER.findall(given) + ([self.guard] if self.guard else [])


@dataclass(frozen=True)
class Code:
    """What a kernel does, and where in it the labels are."""

    instructions: tuple[Instruction, ...]
    labels: Mapping[str, int]
    parameters: int
    threads: int


@dataclass(frozen=True)
class Access:
    """Memory that threads use by one instruction, byte addresses; a copy ends when waited for."""

    kind: str
    """load, store, copy; cached, for a load that need not see what the kernel has stored."""
    addresses: np.ndarray
    threads: np.ndarray
    size: int
    line: str


@dataclass(frozen=True)
class Meeting:
    """All threads meet, or those of a warp; or copies are made one group, or waited for."""

    kind: str
    """all, warp, group, wait."""
    left: int = 0
    """Groups of copies that need not be complete."""


Contents = Callable[[np.ndarray], Value]
"""The numbers at these addresses, if they are known."""


def parse(text: str) -> Code:
    """PTX of one kernel."""
    files = dict(re.findall(r'\.file\s+(\d+)\s+"([^"]*)"', text))
    files = {key: name.rpartition("/")[2] for key, name in files.items()}
    head, _, body = text.partition(".visible .entry")[2].partition("\n{")
    found, labels, line = [], {}, "an unknown line"
    for raw in re.sub(r"//.*", "", body).replace(";", ";\n").splitlines():
        raw = raw.strip(" \t;")
        if label := re.match(r"(\$\w+):", raw):
            labels[label[1]] = len(found)
        elif place := PLACE.match(raw):
            file, number, caller, at = place.groups()
            line = f"{files[file]}:{number}" + (f" in {files[caller]}:{at}" if caller else "")
        elif match := STATEMENT.match(raw):
            negated, guard, operation, rest = match.groups()
            operands = tuple(one.strip() for one in OPERAND.findall(rest))
            found.append(Instruction(operation, operands, guard, bool(negated), line))
    return _needed(Code(tuple(found), labels, head.count("_param_"), _threads(head)))


def _threads(head: str) -> int:
    return int(re.search(r"\.reqntid (\d+)", head)[1])


def _needed(code: Code) -> Code:
    """Without what no address, condition or branch needs.

    A branch around what is not needed is not needed itself. That shows only with the rest gone, so
    branches are left out at first and taken in as they are found to part ways.
    """
    branches: set[int] = set()
    while True:
        order = _with(code, branches)
        here = Code(
            tuple(code.instructions[i] for i in order),
            {name: bisect_left(order, at) for name, at in code.labels.items()},
            code.parameters,
            code.threads,
        )
        parting = {
            i
            for i, one in enumerate(code.instructions)
            if one.guard is not None
            and one.operation.startswith("bra")
            and _past(here, bisect_left(order, i + 1)) != _past(here, here.labels[one.operands[0]])
        }
        if parting <= branches:
            return here
        branches |= parting


def _with(code: Code, branches: set[int]) -> list[int]:
    """The instructions for these branches, all accesses, and what they hang on."""
    makers, kept = defaultdict(list), set(branches)
    for i, one in enumerate(code.instructions):
        for name in one.made:
            makers[name].append(i)
        if one.operation.startswith(KEPT) or (one.operation[:3] == "bra" and one.guard is None):
            kept.add(i)
    todo = list(kept)
    while todo:
        for name in code.instructions[todo.pop()].asked:
            fresh = set(makers.pop(name, ())) - kept
            kept |= fresh
            todo += fresh
    return sorted(kept)


def run(
    code: Code,
    arguments: list[int | None],
    grid: tuple[int, int, int],
    program: tuple[int, int, int],
    contents: Contents,
) -> Iterator[Access | Meeting]:
    """What the threads of one program use, in order. Raises NotUnderstoodError."""
    state = integers.State(code.threads, arguments, grid, program)
    at = 0
    for _ in range(STEPS):
        if at == len(code.instructions):
            return
        one = code.instructions[at]
        at += 1
        active = _active(state, one)
        if one.operation.startswith(("bra", *ENDS)):
            if not _together(active, one):
                continue
            if not one.operation.startswith("bra"):
                return
            at = code.labels[one.operands[0]]
        elif one.operation.startswith(ACCESSES):
            yield _access(state, one, active, contents)
        elif one.operation.startswith(MEETINGS):
            yield _meeting(one)
        else:
            state.do(one.operation, one.operands, active)
    raise NotUnderstoodError("a program does not end")


def _past(code: Code, at: int) -> int:
    """The next instruction from here that is not a mere jump."""
    while at < len(code.instructions):
        one = code.instructions[at]
        if one.guard is not None or not one.operation.startswith("bra"):
            break
        at = code.labels[one.operands[0]]
    return at


def _active(state: integers.State, one: Instruction) -> np.ndarray:
    """Which threads carry an instruction out."""
    if one.guard is None:
        return np.ones(1, bool)
    found = state.registers.get(one.guard)
    if found is None:
        raise NotUnderstoodError(f"a condition of {one.operation}, {one.line}")
    return ~found if one.negated else found


def _together(active: np.ndarray, one: Instruction) -> bool:
    if active.all() != active.any():
        raise NotUnderstoodError(f"threads part ways at {one.line}")
    return bool(active.all())


def _access(
    state: integers.State, one: Instruction, active: np.ndarray, contents: Contents
) -> Access:
    name = one.operation
    if name.startswith(("atom.", "red.")):
        raise NotUnderstoodError(f"{name}, {one.line}")
    copy, store = name.startswith("cp."), name.startswith("st.")
    place = state.address(one.operands[0 if store else 1])
    active = np.broadcast_to(active, state.threads)
    if copy:
        size = int(one.operands[2], 0)
        if len(one.operands) > 3:
            active = active & (np.broadcast_to(state.value(one.operands[3]), state.threads) > 0)
    else:
        size = integers.bytes_of(name)
    addresses = np.broadcast_to(place, state.threads)[active]
    if not store and not copy:
        state.load(one.operands[0], size, addresses, active, contents)
    cached = not store and ".nc" in name
    kind = "store" if store else "copy" if copy else "cached" if cached else "load"
    return Access(kind, addresses, np.flatnonzero(active), size, one.line)


def _meeting(one: Instruction) -> Meeting:
    if one.operation.startswith("cp.async."):
        match one.operation.split(".")[2]:
            case "commit_group":
                return Meeting("group")
            case "wait_group":
                return Meeting("wait", int(one.operands[0]))
            case "wait_all":
                return Meeting("wait")
        raise NotUnderstoodError(f"{one.operation}, {one.line}")
    return Meeting("warp" if "warp" in one.operation else "all")
