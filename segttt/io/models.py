"""Weights and other tensors as safetensors; pickles are never opened."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from segttt.config.text import parse_json
from segttt.errors import UsageError
from segttt.io.files import make_folder, replace_atomically, unwritable

ABOUT = "about"
"""The one key of the header's metadata: several would be written in an order that varies."""
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
STARTS = (b"\x80", b"PK")  # of a pickle, and of the archive of pickles that PyTorch writes
HEADER_PLACE = 8
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""What a file may hold, by safetensors' names."""
FAULTS = (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError)
"""What safetensors raises on damaged files and on numbers that PyTorch does not know."""


@dataclass(frozen=True)
class Kind:
    """What a tensor is, without its numbers."""

    shape: tuple[int, ...]
    dtype: torch.dtype | None
    """None: no type that is read."""


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write atomically, read back and compare bit by bit; a `ResourceError` where that fails."""
    make_folder(path.parent)
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    size = sum(tensor.nbytes for tensor in plain.values())
    with replace_atomically(path, size) as temporary:
        # Not `save_file`: killed, it leaves a temporary file of its own; what it makes is private.
        temporary.write_bytes(save(plain, {ABOUT: json.dumps(metadata, sort_keys=True)}))
        try:
            written, about = _load(temporary)
        except SafetensorError as error:
            raise unwritable(path, str(error), size) from error
        same = all(_identical(plain[name], written.get(name)) for name in plain)
        if not same or about != metadata:
            raise unwritable(path, "it differs after writing", size)


def read_kinds(path: Path) -> tuple[dict[str, Kind], dict[str, str]]:
    """Names and kinds of the tensors, and the metadata; no tensor is read.

    A `UsageError` refuses pickles and cut or damaged files.
    """
    _refuse_others(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            kinds = {
                name: Kind(tuple(part.get_shape()), DTYPES.get(part.get_dtype()))
                for name, part in parts.items()
            }
            return kinds, _metadata(file.metadata() or {})
    except FAULTS as error:
        raise _damaged(path, error) from error


def load_tensors(path: Path, *, finite: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors on the CPU and the metadata.

    A `UsageError` refuses pickles, cut or damaged files and, with `finite`, NaN and infinity.
    """
    kinds, metadata = read_kinds(path)
    if strange := [name for name, kind in kinds.items() if kind.dtype is None]:
        raise UsageError(f"{path}: {strange[0][:80]!r} holds numbers of a kind that is not read.")
    try:
        tensors, _ = _load(path)
    except FAULTS as error:
        raise _damaged(path, error) from error
    if finite:
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise UsageError(f"{path}: {name} holds NaN or infinity. Use another checkpoint.")
    return tensors, metadata


def difference(found: Mapping[str, Kind], expected: Mapping[str, Kind]) -> str:
    """The first tensor that is missing, surplus or of another kind, in words; empty if none."""
    for name in sorted({*found, *expected}):
        one, other = found.get(name), expected.get(name)
        if one != other:
            return f"{name[:80]!r} is {_words(one)}, expected {_words(other)}"
    return ""


def _words(kind: Kind | None) -> str:
    if kind is None:
        return "not there"
    return f"{str(kind.dtype).removeprefix('torch.')} {list(kind.shape)}"


def _refuse_others(path: Path) -> None:
    """Refuse what is no file, and pickles, under whatever name."""
    if not path.is_file():
        raise UsageError(f"{path}: does not exist.")
    try:
        with path.open("rb") as file:
            start = file.read(HEADER_PLACE + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error}).") from error
    disguised = start.startswith(STARTS) and start[HEADER_PLACE:] != b"{"
    if disguised or path.suffix.lower() in PICKLES:
        raise UsageError(
            f"{path}: is a pickle, which can run any program when it is opened. "
            "Convert it to .safetensors where you trust it."
        )


def _damaged(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path}: is cut or damaged ({str(error)[:200]}). Copy it again.")


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt", device="cpu") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, _metadata(file.metadata() or {})


def _metadata(header: dict[str, str]) -> dict[str, str]:
    """What `save_tensors` was given; the header as it is in a file that others wrote."""
    try:
        content = parse_json(header[ABOUT])
    except (KeyError, ValueError):
        return header
    ours = isinstance(content, dict) and all(isinstance(one, str) for one in content.values())
    return content if ours else header


def _identical(one: Tensor, other: Tensor | None) -> bool:
    if other is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(one.flatten().view(torch.uint8), other.flatten().view(torch.uint8))
