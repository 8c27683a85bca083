"""Weights and other tensors as safetensors; pickles are never opened."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from segttt.errors import ResourceError, UsageError
from segttt.io.files import make_folder, replace_atomically

ABOUT = "about"
"""The one key of the header's metadata: several would be written in an order that varies."""
PICKLES = (".pt", ".pth", ".pkl", ".ckpt", ".bin")


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write atomically, read back and compare bit by bit; a `ResourceError` where that fails."""
    make_folder(path.parent)
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with replace_atomically(path) as temporary:
        try:
            save_file(plain, temporary, metadata={ABOUT: json.dumps(metadata, sort_keys=True)})
            written, about = _load(temporary)
        except (SafetensorError, OSError) as error:
            raise ResourceError(
                f"{path}: cannot be written ({error}). Is the disk full?"
            ) from error
        same = all(_identical(plain[name], written.get(name)) for name in plain)
        if not same or about != metadata:
            raise ResourceError(f"{path}: differs after writing. Is the disk full or damaged?")


def load_tensors(path: Path, *, finite: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors on the CPU and the metadata.

    A `UsageError` refuses pickles, cut or damaged files and, with `finite`, NaN and infinity.
    """
    if path.suffix in PICKLES:
        raise UsageError(
            f"{path}: is a pickle, which can run any program when it is opened. "
            "Convert it to .safetensors where you trust it."
        )
    if not path.is_file():
        raise UsageError(f"{path}: does not exist.")
    try:
        tensors, metadata = _load(path)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path}: is cut or damaged ({error}). Copy it again.") from error
    if finite:
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise UsageError(f"{path}: {name} holds NaN or infinity. Use another checkpoint.")
    return tensors, metadata


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt", device="cpu") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, _metadata(file.metadata() or {})


def _metadata(header: dict[str, str]) -> dict[str, str]:
    """What `save_tensors` was given; the header as it is in a file that others wrote."""
    try:
        content = json.loads(header[ABOUT])
    except (KeyError, ValueError):
        return header
    return content if isinstance(content, dict) else header


def _identical(one: Tensor, other: Tensor | None) -> bool:
    if other is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(one.flatten().view(torch.uint8), other.flatten().view(torch.uint8))
