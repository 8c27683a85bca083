"""What strangers may send: models, plans and presets made to run, to exhaust or to confuse."""

import gc
import json
import os
import pickle
import random
import socket
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from segttt.config.network import UNetSpec
from segttt.config.plan import Plan
from segttt.io.models import ABOUT, save_tensors
from segttt.networks.build import build
from tests.engine.conftest import small_plan

MIB = 2**20
FORBIDDEN = (
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile",
    "subprocess.Popen", "pty.spawn", "pickle.find_class", "code.__new__",
    "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname",
    "socket.sendto", "urllib.Request", "webbrowser.open", "ftplib.connect", "smtplib.connect",
)  # fmt: skip
"""Audit events of running something, of unpickling and of the network."""
_seen: list[str] = []
_watching: list[bool] = []


def _audit(event: str, _: tuple[Any, ...]) -> None:
    if _watching and event in FORBIDDEN:
        _seen.append(event)


sys.addaudithook(_audit)


@contextmanager
def nothing_happens() -> Iterator[None]:
    """Fail where anything inside runs a program, unpickles an object or reaches for the network."""
    _seen.clear()
    _watching.append(True)
    try:
        yield
    finally:
        _watching.pop()
    assert not _seen, _seen


def rotated(kinds: Iterable[str], every: int = 6) -> list[Any]:
    """Parameters of a test: one in so many with every run, the others with the whole table."""
    return [
        pytest.param(kind, marks=() if place % every == 0 else pytest.mark.reliability)
        for place, kind in enumerate(kinds)
    ]


@dataclass
class Cost:
    """What a piece of work took, of the processor: other programs do not count."""

    seconds: float = 0.0
    bytes: int = 0
    """Highest resident memory beyond what was resident before."""


@contextmanager
def measured() -> Iterator[Cost]:
    """Time and memory of what happens inside; the peak is the kernel's own."""
    cost = Cost()
    gc.collect()
    gc.freeze()  # what other tests left is not looked through again and again
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    started = time.process_time()
    try:
        yield cost
    finally:
        gc.unfreeze()
    cost.seconds = time.process_time() - started
    cost.bytes = max(0, _status("VmHWM") - before)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


# --- models -----------------------------------------------------------------------------------


def good_plan(**changes: Any) -> Plan:
    plain = UNetSpec(name="nnunet", mixer="none")  # which compiles nothing
    return small_plan(**({"network": plain} | changes))


def weights(plan: Plan) -> dict[str, Tensor]:
    """Sound weights of the plan's network."""
    torch.manual_seed(0)
    return dict(build(plan.network, plan.topology, len(plan.channels), plan.classes).state_dict())


def write_model(path: Path, plan: Plan | None = None, **metadata: str) -> Path:
    plan = plan or good_plan()
    save_tensors(path, weights(plan), {"plan": plan.dump(), "about": "{}", **metadata})
    return path


class Gadget:
    """Runs something when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object):
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def gadgets(canary: Path) -> dict[str, Gadget]:
    touch = f"touch {canary}"
    return {
        "system": Gadget(os.system, touch),
        "popen": Gadget(subprocess.Popen, ["touch", str(canary)]),
        "exec": Gadget(exec, f"open({str(canary)!r}, 'w').close()"),
        "open": Gadget(open, str(canary), "w"),
        "connect": Gadget(socket.create_connection, ("127.0.0.1", 9)),
    }


def pickles(canary: Path) -> dict[str, tuple[str, bytes]]:
    """Description -> name of a file and its content."""
    made: dict[str, tuple[str, bytes]] = {}
    for kind, gadget in gadgets(canary).items():
        made[f"pickle, {kind}"] = ("model.safetensors", pickle.dumps(gadget))
    system = Gadget(os.system, f"touch {canary}")
    for name in ("m.pt", "m.pth", "m.pkl", "m.ckpt", "m.bin", "m.pickle", "m.PT", "x.safetensors"):
        made[f"torch archive as {name}"] = (name, torch_archive({"state_dict": system}))
    legacy = BytesIO()
    torch.save({"a": system}, legacy, _use_new_zipfile_serialization=False)
    made["torch, old format"] = ("m.safetensors", legacy.getvalue())
    for protocol in (0, 1, 4, 5):
        content = pickle.dumps(system, protocol)
        made[f"pickle protocol {protocol}"] = ("m.safetensors", content)
    return made


def torch_archive(content: object) -> bytes:
    stream = BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def archives(canary: Path) -> dict[str, tuple[str, bytes]]:
    inner = zipped({"model.safetensors": b"x", "data.pkl": pickle.dumps(gadgets(canary)["system"])})
    return {
        "zip in a zip": ("m.safetensors", zipped({"inner.zip": inner, "../../escape": inner})),
        "zip bomb": ("m.safetensors", zipped({"bomb": bytes(64 * MIB)})),
        "zip bomb as pt": ("m.pt", zipped({"archive/data.pkl": bytes(64 * MIB)})),
    }


def zipped(members: dict[str, bytes]) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def raw(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header; `length` is what it says of its header's size."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def headers() -> dict[str, bytes]:
    """Safetensors files whose headers lie."""
    two, about = bytes(8), {"__metadata__": {"plan": "x"}}
    deep = b"[" * 100_000 + b"]" * 100_000
    return {
        "length 0": raw({}, length=0),
        "length 2^64 - 1": raw({}, length=2**64 - 1),
        "length 2^63": raw({}, length=2**63),
        "length beyond the file": raw({}, length=10**6),
        "length beyond what is allowed": raw({}, length=100_000_001),
        "header is a list": raw([1, 2]),
        "header is no text": raw(b"{" + bytes(range(128, 200)) + b"}"),
        "header is nested": raw(b'{"a":' + deep + b"}"),
        "nothing": b"",
        "only a length": struct.pack("<Q", 0),
        "spaces": raw(b" " * 1000),
        "offsets overlap": raw({"a": entry(), "b": entry(offsets=(4, 12)), **about}, bytes(12)),
        "offsets shared": raw({"a": entry(), "b": entry(), **about}, two),
        "offsets beyond": raw({"a": entry(offsets=(0, 10**12)), **about}, two),
        "offsets backwards": raw({"a": entry(offsets=(8, 0)), **about}, two),
        "offsets negative": raw({"a": entry(offsets=(-8, 0)), **about}, two),
        "offsets with a hole": raw({"a": entry(offsets=(4, 12)), **about}, bytes(12)),
        "bytes left over": raw({"a": entry(), **about}, bytes(100)),
        "shape of 2^62": raw({"a": entry(shape=(2**62, 2**62)), **about}, two),
        "shape of a terabyte": raw(
            {"a": entry(shape=(2**38,), offsets=(0, 2**40)), **about}, two
        ),
        "shape negative": raw({"a": entry(shape=(-2,)), **about}, two),
        "shape of halves": raw({"a": entry(shape=(0.5, 4)), **about}, two),
        "shape is a text": raw({"a": entry(shape="2"), **about}, two),
        "unknown type": raw({"a": entry("X99"), **about}, two),
        "eight-bit floats": raw({"a": entry("F8_E4M3", (8,)), **about}, two),
        "surplus field": raw({"a": {**entry(), "code": "os.system"}, **about}, two),
        "metadata of numbers": raw({"__metadata__": {"plan": 5}}),
        "metadata nested": raw({"__metadata__": {"plan": {"a": 1}}}),
        "tensor twice": raw(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
            b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', two
        ),
        "no metadata": raw({"a": entry()}, two),
        "many names": raw({f"{i:x}": entry(shape=(0,), offsets=(0, 0)) for i in range(9_999)}),
    }  # fmt: skip


def texts() -> dict[str, dict[str, str]]:
    """Metadata that lies, over sound weights."""
    sound = json.loads(good_plan().dump())

    def plan(**changes: object) -> str:
        return json.dumps({**sound, **changes})

    def network(**changes: object) -> str:
        return plan(network={**sound["network"], **changes})

    def topology(**changes: object) -> str:
        return plan(topology={**sound["topology"], **changes})

    wide = {"features": [4096] * 3, "kernels": [[63] * 3] * 3}
    many = 20_000
    stages = {"strides": [[1] * 3] * many, "kernels": [[3] * 3] * many, "features": [4] * many}
    plans = {
        "no plan": "",
        "plan is a list": "[1]",
        "plan nested": "[" * 100_000,
        "plan with NaN": plan(spacing_mm=[1, 1, 0]).replace("0]", "NaN]"),
        "plan with a key twice": good_plan().dump().replace("{", '{"name": "other",', 1),
        "plan of two megabytes": plan(name="x" * 2 * MIB),
        "plan with code": plan(network={"kind": "pydoc.locate", "name": "os.system"}),
        "plugin by path": plan(network={"kind": "plugin", "name": "os:system"}),
        "plugin by folder": plan(network={"kind": "plugin", "name": "../../evil"}),
        "plugin with options": plan(
            network={"kind": "plugin", "name": "x", "options": {"cmd": "__import__('os')"}}
        ),
        "gigantic patch": topology(patch=[10**9] * 3),
        "gigantic patch within bounds": topology(patch=[4096, 4096, 4096]),
        "gigantic widths": topology(**wide),
        "gigantic kernels": topology(kernels=[[10**9] * 3] * 3),
        "20,000 stages": topology(**stages),
        "many blocks": network(encoder_blocks=[10**9] * 3),
        "blocks within bounds": network(encoder_blocks=[1, 1, 64]),
        "many heads": network(heads=10**12),
        "many states": network(mixer="mamba", states=4096, expand=64, conv_width=64),
        "foreign network": plan(
            network={"kind": "nnformer", "width": 4096, "depths": [64] * 4, "windows": [64] * 4},
            topology={
                "patch": [64, 128, 128], "strides": [[1] * 3] * 2, "kernels": [[3] * 3] * 2,
                "features": [4, 4],
            },
        ),
        "labels beyond": plan(labels={"1": "a", str(2**40): "b"}),
        "labels negative": plan(labels={"1": "a", "-2": "b"}),
        "background labelled": plan(labels={"0": "a", "1": "b"}),
        "many labels": plan(labels={str(i): "" for i in range(1, 50_000)}),
        "spacing of nothing": plan(spacing_mm=[1e-300] * 3),
        "axes beyond": plan(axes=[0, 0, 7]),
        "mirrored axis beyond": plan(augment={"mirror_axes": [9]}),
        "negative batch": plan(batch=-1),
        "infinite learning rate": plan().replace('"lr": 0.01', '"lr": 1e999'),
        "half a letter": plan(name="?").replace('"?"', '"\\ud800"'),
    }  # fmt: skip
    return {name: {"plan": text} for name, text in plans.items()}


def other_weights() -> dict[str, dict[str, Tensor]]:
    """Weights that do not belong to the plan they come with."""
    sound = weights(good_plan())
    first = next(iter(sound))
    nan, infinite = sound[first].clone(), sound[first].clone()
    nan.view(-1)[-1], infinite.view(-1)[0] = torch.nan, -torch.inf
    few = dict(list(sound.items())[1:])
    return {
        "NaN": {**sound, first: nan},
        "infinity": {**sound, first: infinite},
        "a tensor too few": few,
        "a tensor too many": {**sound, "extra": torch.zeros(3)},
        "a name that is a path": {**sound, "../../../tmp/evil": torch.zeros(3)},
        "a name that is dunder": {**sound, "__class__": torch.zeros(3)},
        "another shape": {**sound, first: torch.zeros(7, 7)},
        "transposed": {**sound, first: sound[first].movedim(0, -1).contiguous()},
        "whole numbers": {**sound, first: sound[first].to(torch.int8)},
        "half precision": {**sound, first: sound[first].half()},
        "complex numbers": {**few, first + " ": torch.zeros(2)},
        "none": {},
    }


def with_text(content: bytes, metadata: dict[str, str]) -> bytes:
    """A safetensors file with other metadata."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = {ABOUT: json.dumps(metadata)}
    return raw(header, content[8 + length :])


# --- text that is mutated ------------------------------------------------------------------------

SPLICES = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1", b"0", b"1e9", b"9" * 400, b"null", b"true",
    b"[]", b"{}", b'""', b'"../../etc/passwd"', b'"__import__(\'os\').system(\'id\')"', b"\xff\xfe",
    b"\x00", b'"\\ud800"', b"[" * 300, b'{"a":' * 300, b'"' + b"x" * 5000 + b'"', b",", b":", b"]",
    b"}", b"\xef\xbb\xbf", b"\n", b"  ", b"'", b"# ", b"!!python/object:os.system ", b"&a ", b"*a",
)  # fmt: skip


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The content with one to four changes: bytes, pieces cut, doubled, or spliced in."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed) + 1)
        end = min(len(changed), place + chance.randint(1, 12))
        match chance.randrange(5):
            case 0 if changed and place < len(changed):
                changed[place] = chance.randrange(256)
            case 1:
                del changed[place:end]
            case 2:
                changed[place:place] = changed[place:end]
            case 3:
                changed[place:end] = chance.choice(SPLICES)
            case _:
                changed[place:place] = chance.choice(SPLICES)
    return bytes(changed)
