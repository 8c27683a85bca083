"""The integers of a program's threads: what PTX does with them, except for global memory.

A register has one number per thread, or one for all, as int64 whatever its width; or None, if it
has a number that is not known, as all real numbers are.
"""

import re
from collections.abc import Callable

import numpy as np

Value = np.ndarray | None

WARP = 32
WIDTH = re.compile(r"[busf](\d+)")
INTEGER = re.compile(r"-?(?:0x[0-9a-fA-F]+|\d+)U?$")


class NotUnderstoodError(Exception):
    """On this an address hangs, and it is not known here."""


def wrap(value: np.ndarray, bits: int) -> np.ndarray:
    """Into the signed range of so many bits."""
    if bits == 64:
        return value
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


def unsigned(value: np.ndarray, bits: int) -> np.ndarray:
    """As the same bits would be without a sign."""
    return value.view(np.uint64) if bits == 64 else value & ((1 << bits) - 1)


def bytes_of(operation: str) -> int:
    """That one thread moves."""
    parts = operation.split(".")
    many = next((int(part[1:]) for part in parts if re.fullmatch(r"v\d", part)), 1)
    return many * int(WIDTH.fullmatch(parts[-1])[1]) // 8


class State:
    """The registers of all threads of a program."""

    def __init__(
        self,
        threads: int,
        arguments: list[int | None],
        grid: tuple[int, int, int],
        program: tuple[int, int, int],
    ):
        self.threads, self.arguments = threads, arguments
        self.registers: dict[str, Value] = {}
        self.special = {"%tid.x": np.arange(threads), "%laneid": np.arange(threads) % WARP}
        for axis, size, here in zip("xyz", grid, program, strict=True):
            self.special[f"%nctaid.{axis}"] = np.array([size])
            self.special[f"%ctaid.{axis}"] = np.array([here])
        self.special |= {"%ntid.x": np.array([threads]), "global_smem": np.array([0])}

    def value(self, operand: str) -> Value:
        """Of a register, a constant or a name."""
        if operand in self.special:
            return self.special[operand]
        if INTEGER.match(operand):
            return wrap(np.array([int(operand.rstrip("U"), 0)], np.int64), 64)
        return self.registers.get(operand)

    def address(self, operand: str) -> np.ndarray:
        """Of an operand such as [%rd1+16]."""
        total = np.zeros(1, np.int64)
        for sign, name in re.findall(r"(-?)([%\w.]+)", operand):
            if (one := self.value(sign + name if INTEGER.match(name) else name)) is None:
                raise NotUnderstoodError(f"the address {operand}")
            total = total + one
        return total

    def set(self, name: str, value: Value, active: np.ndarray) -> None:
        """A register, in active threads."""
        if value is not None and not active.all():
            old = self.registers.get(name)
            value = np.where(active, value, 0 if old is None else old)
        self.registers[name] = value

    def load(
        self,
        target: str,
        size: int,
        addresses: np.ndarray,
        active: np.ndarray,
        contents: Callable[[np.ndarray], Value],
    ) -> None:
        """Registers from global memory."""
        names = re.findall(r"%[a-z]+\d+", target)
        for i, name in enumerate(names):
            found = contents(addresses + i * (size // len(names)))
            if found is not None:
                full = np.zeros(self.threads, np.int64)
                full[active] = found
                found = full
            self.set(name, found, active)

    def do(self, operation: str, operands: tuple[str, ...], active: np.ndarray) -> None:
        """One instruction."""
        parts = operation.split(".")
        if operation.startswith("ld.param"):
            return self._parameter(operands, active)
        if operation.startswith("mov") and "{" in "".join(operands):
            return self._repack(operands, active)
        if operands[0].startswith("{"):
            for name in re.findall(r"%[a-z]+\d+", operands[0]):
                self.registers[name] = None
            return None
        given = [self.value(one) for one in operands[1:]]
        known = all(one is not None for one in given)
        name, _, _ = operands[0].partition("|")
        self.set(name.strip(), _computed(parts, given) if known else None, active)
        return None

    def _parameter(self, operands: tuple[str, ...], active: np.ndarray) -> None:
        number = self.arguments[int(re.search(r"_param_(\d+)", operands[1])[1])]
        self.set(operands[0], None if number is None else np.array([number], np.int64), active)

    def _repack(self, operands: tuple[str, ...], active: np.ndarray) -> None:
        """Between a register and the halves of it."""
        names = re.findall(r"%[a-z]+\d+", operands[0])
        given = [self.value(one) for one in re.findall(r"[%\w-]+", operands[1])]
        if any(one is None for one in given):
            for name in names:
                self.registers[name] = None
        elif len(names) == 1:
            bits = 64 // len(given) if names[0].startswith("%rd") else 32 // len(given)
            parts = [unsigned(one, bits) << (i * bits) for i, one in enumerate(given)]
            self.set(names[0], wrap(sum(parts), bits * len(given)), active)
        else:
            bits = 16 if names[0].startswith("%rs") else 32
            for i, name in enumerate(names):
                self.set(name, wrap(given[0] >> (i * bits), bits), active)


def _computed(parts: list[str], given: list[np.ndarray]) -> Value:
    """The result of an instruction on known numbers, if it is one on integers."""
    name, kind = parts[0], parts[-1]
    match name:
        case "cvt":
            return _converted(parts[-2], kind, given[0])
        case "setp":
            return _compared(parts[1], kind, given) if len(parts) == 3 else None
        case "shfl":
            return _shuffled(parts[2], given)
        case "selp":
            return np.where(given[2], given[0], given[1]) if WIDTH.fullmatch(kind) else None
    if kind == "pred":
        given = [one if one.dtype == bool else one != 0 for one in given]
        return ARITHMETIC[name](*given)
    found = WIDTH.fullmatch(kind)
    if found is None or kind.startswith("f") or name not in ARITHMETIC:
        return None
    return _integer(parts, int(found[1]), given)


def _integer(parts: list[str], bits: int, given: list[np.ndarray]) -> np.ndarray:
    """The result of an instruction whose operands are integers of so many bits."""
    name, kind = parts[0], parts[-1]
    more = given.pop() if name == "mad" else np.zeros(1, np.int64)  # as wide as the result
    if kind.startswith("u"):
        given = [unsigned(one, bits) for one in given]
    value = ARITHMETIC[name](*given)
    value = value.view(np.int64) if value.dtype == np.uint64 else value.astype(np.int64)
    if "hi" in parts:
        value = value >> bits
    if name == "bfe" and kind.startswith("s"):
        value = wrap(value, int(given[2][0]))
    return wrap(value + more, 2 * bits if "wide" in parts else bits)


def _quotient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rounded towards zero."""
    y = np.where(y == 0, 1, y)
    if x.dtype == np.uint64:
        return x // y
    return np.where((x < 0) != (y < 0), -(np.abs(x) // np.abs(y)), np.abs(x) // np.abs(y))


ARITHMETIC: dict[str, Callable[..., np.ndarray]] = {
    "mov": lambda x: x,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "mad": np.multiply,
    "div": _quotient,
    "rem": lambda x, y: x - _quotient(x, y) * y,
    "min": np.minimum,
    "max": np.maximum,
    "neg": np.negative,
    "abs": np.abs,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "shl": np.left_shift,
    "shr": np.right_shift,
    "bfe": lambda x, first, many: (x >> first) & ((1 << many) - 1),
}
"""By name of the instruction; a product's sum is left out."""


def _converted(to: str, source: str, x: np.ndarray) -> Value:
    if to.startswith("f") or source.startswith("f") or "bf" in to or "bf" in source:
        return None
    bits = int(WIDTH.fullmatch(source)[1])
    x = wrap(x, bits) if source.startswith("s") else unsigned(x, bits).view(np.int64)
    return wrap(x, int(WIDTH.fullmatch(to)[1]))


def _compared(how: str, kind: str, x: list[np.ndarray]) -> Value:
    if kind.startswith("f"):
        return None
    if kind.startswith("u"):
        x = [unsigned(one, int(kind[1:])) for one in x]
    return {
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }[how](x[0], x[1])


def _shuffled(how: str, x: list[np.ndarray]) -> Value:
    """What each thread reads from another of its warp."""
    if len(x[0]) == 1:
        return x[0]
    lanes = x[0].reshape(-1, WARP)
    here = np.arange(WARP)
    other = {"idx": x[1] & (WARP - 1), "bfly": here ^ x[1]}.get(how)
    if other is None:
        return None
    return lanes[:, np.broadcast_to(other, WARP)].reshape(-1)
