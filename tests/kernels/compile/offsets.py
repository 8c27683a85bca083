"""Where a kernel computes in 32 bits what needs more, found in its intermediate code.

Every integer has a range: sizes and programs from a call whose tensors have far more than 2^31
numbers, all others from the arithmetic that makes them. Offsets are right if no operation in 32
bits leaves the range of 32 bits, so each that does is reported. What is not understood has the
range of 64 bits, and is reported where 32 bits are made of it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

Range = tuple[int, int]
"""Smallest and largest value."""

ALL = {32: (-(2**31), 2**31 - 1), 64: (-(2**63), 2**63 - 1)}
FLAG = (-1, 1)
"""An integer that a kernel loads: a mark, or the way along the tokens."""

ANY = ALL[64]
SAME = ("tt.splat", "tt.expand_dims", "tt.broadcast", "tt.reshape", "tt.trans", "arith.extsi")
NOT_NUMBERS = ("arith.cmpi", "scf.for", "tt.addptr")
ARGUMENT = re.compile(r"%(\w+): i(32|64)\b")
LOOP = re.compile(r"scf\.for %(\S+) = %(\S+) to %(\S+) step")
RESULT = re.compile(r"%(\S+) = ([a-z_]+\.[a-z_]+) (.*?)(?: loc\((.*)\))?$")
PLACE = re.compile(r'^(#\w+) = loc\((?:"[^"]*"\()?(?:"([^"]*)":(\d+):\d+|callsite\((#\w+) |(#\w+))')


@dataclass(frozen=True)
class Call:
    """A call of a kernel; arguments without a size, among them strides, may be anything from 0."""

    programs: tuple[int, int, int]
    sizes: Mapping[str, int]


STRIDES = {f"{name}_n": 2**11 for name in ("u", "dt", "x", "o", "z")}
RATES = {"A_g": 2**14, "A_d": 2**10, "A_s": 2**10, "unit": 1}
LONG_SCAN = {"n": 2**28, "d": 2**10, "scans": 2, "length": 2**18, "segments": 2**10}
WIDE_SCAN = {"n": 2**12, "d": 2**10, "scans": 2, "length": 2**12, "segments": 1}
LONG_TTT = {"n": 2**28, "t": 64, "begin": 2**21, "count": 2**21, "batches": 2**22, "state": 2**22}
WIDE_TTT = {"n": 2**10, "t": 64, "begin": 2**3, "count": 2**3, "batches": 2**4, "state": 2**4}
HEADS = {"heads": 2**3, "h": 2**3}
LONG_CONV = {"n": 2**28, "d": 2**10, "scans": 2, "kinds": 2, "length": 2**6, "weight_r": 2**10}
WIDE_CONV = {"n": 2**10, "d": 2**10, "scans": 2**4, "kinds": 2**4, "length": 2**3, "weight_r": 1}

CALLS = {
    "any": (Call((2**24, 2**8, 2**8), {"n": 2**12}),),
    "causal_conv": (Call((2**30, 2**4, 1), LONG_CONV), Call((2**30, 2**4, 1), WIDE_CONV)),
    "gate_kernel": (Call((2**26, 2**4, 1), LONG_SCAN | STRIDES),),
    "selective_scan": (
        Call((2**7, 2**10, 1), LONG_SCAN | STRIDES | RATES),
        Call((2**24, 1, 1), WIDE_SCAN | STRIDES | RATES),
    ),
    "ttt_inputs": (
        Call((2**30, 1, 1), LONG_TTT | HEADS | {"scans": 2}),
        Call((2**30, 1, 1), WIDE_TTT | HEADS | {"scans": 2**4}),
    ),
    "ttt_linear": (
        Call((2**24, 2**3, 2**16 - 1), LONG_TTT | HEADS),
        Call((2**24, 2**3, 2**16 - 1), WIDE_TTT | HEADS),
    ),
    "ttt_mlp": (Call((2**30, 1, 1), LONG_TTT | HEADS), Call((2**30, 1, 1), WIDE_TTT | HEADS)),
}
"""By kernel or else by operator: one call with long sequences, one with many of them."""


def faults(code: str, kernel: str, module: str) -> list[str]:
    """What leaves 32 bits in the calls of `CALLS` for a kernel of the operator with that module."""
    operator = module.split(".")[-2]
    calls = CALLS.get(kernel) or CALLS.get(operator) or CALLS["any"]
    return sorted({fault for call in calls for fault in overflows(code, call)})


def overflows(code: str, call: Call) -> list[str]:
    """One sentence per operation in 32 bits that leaves its range in this call."""
    known: dict[str, Range] = {}
    found = []
    for line in code.splitlines():
        if "tt.func" in line:
            for name, bits in ARGUMENT.findall(line):
                size = call.sizes.get(name)
                known[name] = (0, ALL[int(bits)][1]) if size is None else (size, size)
        if loop := LOOP.search(line):
            name, first, end = loop.groups()
            low = known[first][0]
            known[name] = (low, max(low, known[end][1] - 1))
        if (made := RESULT.match(line.strip())) is None:
            continue
        name, operation, rest, place = made.groups()
        if (bits := _bits(operation, rest)) is None:
            continue
        known[name] = _range(operation, rest, known, call.programs)
        if bits == 32 and not _inside(known[name], ALL[32]):
            low, high = known[name]
            found.append(
                f"{operation} from {low:.2g} to {high:.2g} in 32 bits, {_line(code, place)}"
            )
            known[name] = (0, 0)  # what comes of it is no further fault
    return found


def _bits(operation: str, rest: str) -> int | None:
    """The width of an integer result, or of the integers of a tensor."""
    if operation in NOT_NUMBERS:
        return None
    kind = re.split(r"->| to ", rest.rpartition(" : ")[2])[-1].strip()
    if operation == "tt.load":
        kind = kind.replace("!tt.ptr<", "").replace(">", "")
    found = re.search(r"(?:^|x)i(32|64)>?$", kind)
    return int(found[1]) if found else None


def _range(
    operation: str, rest: str, known: dict[str, Range], programs: tuple[int, int, int]
) -> Range:
    given = [known.get(name, ANY) for name in re.findall(r"%([\w#-]+)", rest)]
    if operation == "arith.constant":
        return (value := int(re.search(r"-?\d+", rest)[0]), value)
    if operation == "tt.make_range":
        end, start = (int(re.search(rf"{edge} = (\d+)", rest)[1]) for edge in ("end", "start"))
        return start, end - 1
    if operation == "tt.get_program_id":
        return 0, programs["xyz".index(rest[0])] - 1
    if operation == "tt.get_num_programs":
        return 1, programs["xyz".index(rest[0])]
    if operation == "tt.load":
        return FLAG
    if operation == "arith.select":
        return _hull(given[1:])
    if operation == "arith.extui" and re.search(r"i1>? to ", rest):
        return 0, 1
    if operation in SAME:
        return given[0]
    return _arithmetic(operation, *given[:2]) if len(given) > 1 else ANY


def _arithmetic(operation: str, one: Range, other: Range) -> Range:
    match operation.partition(".")[2]:
        case "addi":
            return one[0] + other[0], one[1] + other[1]
        case "subi":
            return one[0] - other[1], one[1] - other[0]
        case "muli":
            corners = [a * b for a in one for b in other]
            return min(corners), max(corners)
        case "minsi":
            return min(one[0], other[0]), min(one[1], other[1])
        case "maxsi":
            return max(one[0], other[0]), max(one[1], other[1])
        case "divsi":
            divisors = [max(1, edge) for edge in other]
            corners = [a // b if a >= 0 else -(-a // b) for a in one for b in divisors]
            return min(corners), max(corners)
        case "remsi":
            most = max(0, other[1] - 1)
            return (0 if one[0] >= 0 else -most), min(most, max(abs(one[0]), one[1]))
        case "shrsi" | "andi":
            return _hull([one, (0, 0)])
    return ANY


def _hull(ranges: list[Range]) -> Range:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _inside(found: Range, allowed: Range) -> bool:
    return allowed[0] <= found[0] and found[1] <= allowed[1]


def _line(code: str, name: str | None) -> str:
    """File and line of a location."""
    places = {match[1]: match for line in code.splitlines() if (match := PLACE.match(line))}
    while name in places:
        match = places[name]
        if match[2]:
            return f"{match[2].rpartition('/')[2]}:{match[3]}"
        name = match[4] or match[5]
    return "an unknown line"
