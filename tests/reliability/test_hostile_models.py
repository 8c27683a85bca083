"""A model of a stranger is refused in a sentence, and nothing in it ever runs."""

import os
import random

import numpy as np
import pytest

from segttt import Predictor
from segttt.cli.app import run
from segttt.commands.predictions.model import load_model
from segttt.errors import SegtttError, UsageError
from segttt.io.models import save_tensors
from tests.pipeline.conftest import write_volume
from tests.reliability import hostile
from tests.reliability.hostile import MIB, measured, nothing_happens, rotated

FEW, ALL = 80, 10_000
SLACK = 24 * MIB  # of the allocator, of Python's own objects and of the network that is compared
ADVICE = "Convert it to .safetensors where you trust it."


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_volume(folder / "a.nii.gz", np.ones((8, 16, 16), np.float32))
    return folder


@pytest.fixture(scope="module")
def good(tmp_path_factory, scans):
    """A sound model; predicting once imports and compiles whatever that takes."""
    folder = tmp_path_factory.mktemp("good")
    path = hostile.write_model(folder / "model.safetensors")
    assert run(["predict", str(scans), "-m", str(path), "-o", str(folder / "out")]) == 0
    return path


def _refused(path, scans, out, capfd):
    """The message, after the command line and the class have refused the model."""
    size = path.stat().st_size if path.is_file() else 0
    with nothing_happens(), measured() as cost:
        with pytest.raises(SegtttError) as caught:
            Predictor(path, device="cpu")
        code = run(["predict", str(scans), "-m", str(path), "-o", str(out)])
    told = capfd.readouterr().err
    assert code == 2
    assert "Traceback" not in told
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert not out.exists()
    assert cost.bytes <= 2 * size + SLACK, (cost, size)
    return str(caught.value)


SECONDS = 2.5
CANARY = "canary"
PICKLES = list(hostile.pickles(hostile.Path(CANARY)))
ARCHIVES = list(hostile.archives(hostile.Path(CANARY)))
HEADERS = list(hostile.headers())
TEXTS = list(hostile.texts())
WEIGHTS = list(hostile.other_weights())
PLACES = ("link to itself", "dangling link", "device", "pipe", "folder of nothing", "a gigabyte")


@pytest.mark.parametrize("kind", rotated(PICKLES))
def test_pickles_are_refused_with_advice(kind, good, scans, tmp_path, capfd):
    canary = tmp_path / CANARY
    name, content = hostile.pickles(canary)[kind]
    path = tmp_path / name
    path.write_bytes(content)
    told = _refused(path, scans, tmp_path / "out", capfd)
    assert not canary.exists()
    if not kind.endswith(("protocol 0", "protocol 1")):  # these begin like any text
        assert ADVICE in told


def test_the_pickles_would_have_run(tmp_path):
    """The corpus is no dummy: unpickled, it does what it says."""
    canary = tmp_path / CANARY
    _, content = hostile.pickles(canary)["pickle, exec"]
    hostile.pickle.loads(content)
    assert canary.exists()
    with pytest.raises(AssertionError, match=r"os\.system"), nothing_happens():
        hostile.pickle.loads(hostile.pickle.dumps(hostile.gadgets(canary)["system"]))


@pytest.mark.parametrize("kind", rotated(ARCHIVES))
def test_archives_are_not_unpacked(kind, good, scans, tmp_path, capfd):
    name, content = hostile.archives(tmp_path / CANARY)[kind]
    path = tmp_path / name
    path.write_bytes(content)
    assert ADVICE in _refused(path, scans, tmp_path / "out", capfd)
    assert {one.name for one in tmp_path.iterdir()} == {name}


@pytest.mark.parametrize("kind", rotated(HEADERS))
def test_headers_that_lie(kind, good, scans, tmp_path, capfd):
    path = tmp_path / "model.safetensors"
    path.write_bytes(hostile.headers()[kind])
    _refused(path, scans, tmp_path / "out", capfd)


@pytest.mark.parametrize("kind", rotated(TEXTS))
def test_plans_that_lie(kind, good, scans, tmp_path, capfd):
    path = tmp_path / "model.safetensors"
    path.write_bytes(hostile.with_text(good.read_bytes(), hostile.texts()[kind]))
    told = _refused(path, scans, tmp_path / "out", capfd)
    assert "plan" in told or "Network" in told


@pytest.mark.parametrize("kind", rotated(WEIGHTS))
def test_weights_that_do_not_belong(kind, good, scans, tmp_path, capfd):
    path = tmp_path / "model.safetensors"
    metadata = {"plan": hostile.good_plan().dump(), "about": "{}"}
    save_tensors(path, hostile.other_weights()[kind], metadata)
    told = _refused(path, scans, tmp_path / "out", capfd)
    assert "NaN or infinity" in told or "do not fit its plan" in told


@pytest.mark.parametrize("kind", rotated(PLACES))
def test_places_that_are_no_model(kind, good, scans, tmp_path, capfd):
    path = tmp_path / "model.safetensors"
    match kind:
        case "link to itself":
            path = tmp_path / "run"
            path.mkdir()
            (path / "loop").symlink_to(path)
            (path / "model.safetensors").symlink_to(path / "model.safetensors")
        case "dangling link":
            path = tmp_path / "run"
            path.mkdir()
            (path / "model.safetensors").symlink_to(tmp_path / "nowhere")
        case "device":
            path.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(path)
        case "folder of nothing":
            path.mkdir()
        case _:
            with path.open("wb") as file:
                file.truncate(2**30)
    _refused(path, scans, tmp_path / "out", capfd)


@pytest.mark.parametrize(
    "about",
    ['{"fold": [1], "seed": {}}', "[" * 10_000, "[]", '{"seed": 1e400}', '{"fold": "../x"}'],
)
def test_what_a_model_says_of_its_training_does_no_harm(about, good, scans, tmp_path, capfd):
    path = hostile.write_model(tmp_path / "m.safetensors", about=about)
    out = tmp_path / "out"
    with nothing_happens():
        code = run(["predict", str(scans), "-m", str(path), "-o", str(out), "--no-mirror"])
    assert code == 0, capfd.readouterr().err
    assert {one.name for one in out.iterdir() if one.name[0] != "."} == {
        "a.nii.gz", "manifest.json", "failures.json",
    }  # fmt: skip


def _fuzzed(good, tmp_path, count):
    """Headers with a few bytes changed: how many were refused, and what else was raised."""
    content = good.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    chance, path = random.Random(13), tmp_path / "model.safetensors"
    refused, faults = 0, []
    with nothing_happens():
        for _ in range(count):
            header = hostile.mutated(content[8:end], chance)
            length = len(header) if chance.random() < 0.9 else chance.getrandbits(64)
            path.write_bytes(hostile.raw(header, content[end:], length))
            try:
                load_model(path)
            except UsageError as error:
                refused += str(path) in str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
                faults.append((header, repr(error)))
    return refused, faults


def test_a_few_fuzzed_headers(good, tmp_path):
    refused, faults = _fuzzed(good, tmp_path, FEW)
    assert not faults
    assert refused > 0.8 * FEW


@pytest.mark.reliability
def test_models_of_strangers_as_a_figure(good, tmp_path, table):
    """The corpus once more through the class alone, counted."""
    held = 0
    for number, (name, content) in enumerate(files := [*_files(good, tmp_path)]):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        path.write_bytes(content)
        with nothing_happens(), measured() as cost, pytest.raises(UsageError) as caught:
            Predictor(path, device="cpu")
        named = str(path) in str(caught.value) and not (tmp_path / CANARY).exists()
        held += named and cost.seconds < SECONDS
    table("E13", "hostile models refused in time, nothing run", len(files), held)
    assert held == len(files) >= 30


def _files(good, tmp_path):
    yield from hostile.pickles(tmp_path / CANARY).values()
    yield from hostile.archives(tmp_path / CANARY).values()
    yield from (("m.safetensors", content) for content in hostile.headers().values())
    for metadata in hostile.texts().values():
        yield "m.safetensors", hostile.with_text(good.read_bytes(), metadata)
    for tensors in hostile.other_weights().values():
        path = tmp_path / "weights.safetensors"
        save_tensors(path, tensors, {"plan": hostile.good_plan().dump()})
        yield "m.safetensors", path.read_bytes()


@pytest.mark.reliability
def test_all_fuzzed_headers(good, tmp_path, table):
    with measured() as cost:
        refused, faults = _fuzzed(good, tmp_path, ALL)
    table("E13", "fuzzed safetensors headers: no crash", ALL, ALL - len(faults))
    assert not faults
    assert refused > 0.8 * ALL
    assert cost.bytes < 2 * good.stat().st_size + 4 * SLACK


def test_the_corpus_is_as_large_as_promised():
    corpus = [*PICKLES, *ARCHIVES, *HEADERS, *TEXTS, *WEIGHTS, *PLACES]
    assert len(corpus) >= 30
    assert len(set(corpus)) == len(corpus)
