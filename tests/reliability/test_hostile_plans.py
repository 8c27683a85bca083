"""Plans, datasets, fingerprints, manifests and presets of strangers: sound, or refused by name."""

import json
import random
from pathlib import Path

import pytest

from segttt.commands.scores.scoring import told_by
from segttt.config import preset as presets
from segttt.config.dataset import Dataset
from segttt.config.fingerprint import Fingerprint
from segttt.config.plan import Plan
from segttt.errors import SegtttError
from segttt.io.layouts.read import read_dataset
from segttt.io.workspace import Workspace
from tests.pipeline.conftest import tiny_case, write_volume
from tests.reliability import hostile
from tests.reliability.hostile import MIB, measured, nothing_happens, rotated

FEW, ALL = 200, 10_000
MEMORY, SECONDS = 200 * MIB, 1.0
DEEP = 100_000

FACTS = {
    "id": "a", "shape": [4, 5, 6], "full_shape": [4, 5, 6], "spacing_mm": [1, 1, 1],
    "relative_size": 1.0,
}  # fmt: skip
CHANNEL = dict.fromkeys(
    ("mean", "median", "std", "min", "max", "percentile_00_5", "percentile_99_5"), 1.0
)
FINGERPRINT = {"cases": [FACTS], "channels": [CHANNEL], "class_voxels": {"liver": 5}}
DATASET = {
    "name": "toy", "layout": "nnunet", "channels": ["CT"], "labels": {"1": "liver"},
    "cases": [{"id": "a", "images": ["/x/a.nii.gz"], "label": "/x/l.nii.gz"}],
}  # fmt: skip
RAW = {
    "channel_names": {"0": "MR"}, "labels": {"background": 0, "front": 1, "back": 2},
    "numTraining": 1, "file_ending": ".nii.gz",
    "training": [{"image": "./imagesTr/a_0000.nii.gz", "label": "./labelsTr/a.nii.gz"}],
}  # fmt: skip
MANIFEST = {
    "models": [], "networks": [], "plan": "x", "settings": {}, "labels": {"1": "liver"},
    "instances": False, "evaluate": {"metrics": ["dsc"]}, "cases": {"a": {"seconds": 1.5}},
}  # fmt: skip
PRESET = "name: mine\ntitle: A preset\nrank: 3\ntrain: {epochs: 5, lr: 1.0e-3}\nbatch: 2\n"
PLAN = json.loads(hostile.good_plan().dump())


def changed(content, **changes):
    return json.dumps({**content, **changes}).encode()


def any_json(content):
    """What no kind of file may be."""
    text = json.dumps(content).encode()
    key = next(iter(content))
    return {
        "empty": b"",
        "cut": text[:-3],
        "a list": b"[]",
        "a text": b'"plan"',
        "null": b"null",
        "no UTF-8": b"\xff\xfe" + text,
        "UTF-16": text.decode().encode("utf-16"),
        "latin": text.replace(b'"', b'"\xe9', 1),
        "nested lists": b"[" * DEEP + b"]" * DEEP,
        "nested objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        "nested field": text[:-1] + b',"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
        "key twice": text[:-1] + b"," + json.dumps({key: content[key]}).encode()[1:],
        "NaN": text[:-1] + b',"x":NaN}',
        "huge number": text[:-1] + b',"x":' + b"9" * 100_000 + b"}",
        "two documents": text + text,
        "python": b"__import__('os').system('id')",
        "a pickle": b"\x80\x04]\x94.",
        "half a letter": text[:-1] + b',"\\ud800":1}',
        "control character": text.replace(b'"', b'"\x00', 1),
        "a gigabyte": None,
    }


def of_plan():
    inner = PLAN["topology"]
    texts = {name: one["plan"] for name, one in hostile.texts().items() if name.startswith("giga")}
    made = {
        name: text.encode() for name, text in texts.items() if "within" in name or "patch" in name
    }
    return made | {
        "unknown key": changed(PLAN, trainer="nnUNetTrainer"),
        "pydoc path": changed(PLAN, network={"kind": "unet", "mixer": "pydoc.locate"}),
        "import": changed(PLAN, planner="__import__('os').system('id')"),
        "class by name": changed(PLAN, network={"network_class_name": "os.system"}),
        "negative patch": changed(PLAN, topology={**inner, "patch": [-8, 16, 16]}),
        "patch of nothing": changed(PLAN, topology={**inner, "patch": [0, 0, 0]}),
        "patch of NaN": changed(PLAN, topology={**inner, "patch": [float("nan")] * 3}),
        "patch in words": changed(PLAN, topology={**inner, "patch": ["8", "16", "os"]}),
        "infinite spacing": changed(PLAN, spacing_mm=[float("inf")] * 3),
        "negative spacing": changed(PLAN, spacing_mm=[-1, 1, 1]),
        "huge integer": changed(PLAN, batch=10**300),
        "negative batch": changed(PLAN, batch=-5),
        "batch of halves": changed(PLAN, batch=1.5),
        "wrong type": changed(PLAN, train="fast"),
        "many faults": changed(PLAN, labels={f"x{i}": i for i in range(40_000)}),
        "overlap of one": changed(PLAN, predict={"overlap": 1.0}),
        "version of tomorrow": changed(PLAN, version=99),
        "stages disagree": changed(PLAN, topology={**inner, "features": [4]}),
        "five axes": changed(PLAN, topology={**inner, "patch": [8] * 5}),
    }  # fmt: skip


def of_dataset():
    def named(name):
        return changed(DATASET, cases=[{"id": name, "images": ["/x"]}])

    names = ("../../evil", "..", ".", "", "/etc/cron.d/x", ".lock", "a/b", "a\\b", "a\0b", "a\nb")
    return {f"case {name!r}": named(name) for name in names} | {
        "case right to left": named("a\u202egii.nii"),
        "case twice": changed(DATASET, cases=[*DATASET["cases"]] * 2),
        "20,000 cases twice": changed(DATASET, cases=[*DATASET["cases"]] * 20_000),
        "no channel": changed(DATASET, channels=[]),
        "unknown layout": changed(DATASET, layout="os.system"),
        "background declared": changed(DATASET, labels={"0": "x"}),
        "negative label": changed(DATASET, labels={"-1": "x"}),
        "label beyond": changed(DATASET, labels={str(2**62): "x"}),
        "label of halves": changed(DATASET, labels={"1.5": "x"}),
        "images are numbers": changed(DATASET, cases=[{"id": "a", "images": [1]}]),
    }


def of_fingerprint():
    return {
        "negative shape": changed(FINGERPRINT, cases=[{**FACTS, "shape": [-1, 2, 3]}]),
        "shape of 1e9": changed(FINGERPRINT, cases=[{**FACTS, "shape": [10**9] * 3}]),
        "spacing of nothing": changed(FINGERPRINT, cases=[{**FACTS, "spacing_mm": [0, 0, 0]}]),
        "infinite mean": changed(FINGERPRINT, channels=[{**CHANNEL, "mean": float("inf")}]),
        "share above one": changed(FINGERPRINT, cases=[{**FACTS, "relative_size": 7}]),
        "code": changed(FINGERPRINT, code="import os"),
    }


def of_raw():
    return {
        "labels are a list": changed(RAW, labels=["background", "front"]),
        "label of a square": changed(RAW, labels={"background": 0, "²": "front"}),
        "label of 5000 digits": changed(RAW, labels={"background": 0, "front": "9" * 5000}),
        "label beyond": changed(RAW, labels={"background": 0, "front": 2**70}),
        "label negative": changed(RAW, labels={"background": 0, "front": -1}),
        "label is a region": changed(RAW, labels={"background": 0, "both": [1, -2, "x"]}),
        "label twice": changed(RAW, labels={"background": 0, "a": 1, "b": 1}),
        "channel of a square": changed(RAW, channel_names={"²": "MR"}),
        "channels are a number": changed(RAW, channel_names=7),
        "no labels": changed(RAW, labels={}),
        "label is true": changed(RAW, labels={"background": 0, "front": True}),
    }


def of_manifest():
    return {
        "labels are a list": changed(MANIFEST, labels=[1]),
        "label is no number": changed(MANIFEST, labels={"x": "liver"}),
        "metric by code": changed(MANIFEST, evaluate={"metrics": ["os.system"]}),
        "cases are a list": changed(MANIFEST, cases=[[]]),
        "seconds are a word": changed(MANIFEST, cases={"a": {"seconds": "x"}}),
        "infinite seconds": changed(MANIFEST).replace(b"1.5", b"1e999"),
        "networks of code": changed(MANIFEST, networks=[{"network": "x", "code": "os"}]),
    }


def of_preset():
    bomb = "\n".join(
        ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
        + [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    )
    merged = "\n".join(
        ["m0: &m0 {a: 1}"]
        + [f"m{i}: &m{i}\n  <<: [{','.join([f'*m{i - 1}'] * 9)}]" for i in range(1, 12)]
    )
    texts = {
        "object tag": "!!python/object/apply:os.system ['id']",
        "name tag": PRESET + "notes: !!python/name:os.system",
        "module tag": "a: !!python/module:os",
        "alias bomb": bomb,
        "alias bomb in a field": f"{bomb}\n{PRESET}notes: *a11",
        "merge bomb": merged,
        "nested": "[" * 30_000,
        "nested maps": "{a: " * 3_000,
        "nested by indent": "\n".join(" " * i + "a:" for i in range(300)),
        "no date": PRESET + "notes: [2020-99-99]",
        "timestamp tag": PRESET + "notes: !!timestamp x",
        "bool tag": PRESET + "notes: !!bool x",
        "digits": PRESET + "batch2: " + "9" * 5000,
        "key twice": PRESET + "name: other\n",
        "unknown key": PRESET + "command: rm -rf /\n",
        "negative batch": PRESET.replace("batch: 2", "batch: -2"),
        "infinite rate": PRESET.replace("1.0e-3", ".inf"),
        "no rate": PRESET.replace("1.0e-3", ".nan"),
        "option of the network": PRESET + "network_options: {mixer: os.system}\n",
        "widths": PRESET + "network_options: {heads: 1000000000000}\n",
        "two documents": PRESET + "---\n" + PRESET,
        "set": "? a\n? b\n",
        "list": "[1, 2]",
        "nothing": "",
        "binary": PRESET + "notes: !!binary aaa",
        "tabs": PRESET + "\tnotes: x",
        "null byte": PRESET + "\0",
        "long": PRESET + "notes: [" + "x, " * 30_000 + "]",
    }
    made = {name: text.encode() for name, text in texts.items()}
    return made | {"no UTF-8": b"\xff\xfename: x", "a gigabyte": None}


KINDS = {
    "plan": (lambda place: Plan.load(place / "plan.json"), "plan.json", of_plan, PLAN),
    "dataset": (lambda place: Workspace(place).dataset(), "dataset.json", of_dataset, DATASET),
    "fingerprint": (
        lambda place: Workspace(place).fingerprint(), "fingerprint.json", of_fingerprint,
        FINGERPRINT,
    ),
    "raw": (lambda place: read_dataset(place), "dataset.json", of_raw, RAW),
    "manifest": (lambda place: told_by(place), "manifest.json", of_manifest, MANIFEST),
    "preset": (
        lambda place: presets.load(str(place / "preset.yaml")), "preset.yaml", of_preset, PRESET,
    ),
}  # fmt: skip


def corpus():
    for kind, (_, _, poisons, content) in KINDS.items():
        made = poisons() | ({} if kind == "preset" else any_json(content))
        for name, text in made.items():
            yield f"{kind}: {name}", text


CORPUS = dict(corpus())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A dataset with one case; every kind of file is put into it."""
    folder = tmp_path_factory.mktemp("place")
    image, label = tiny_case(0)
    write_volume(folder / "imagesTr" / "a_0000.nii.gz", image)
    write_volume(folder / "labelsTr" / "a.nii.gz", label)
    for kind in KINDS:
        _put(folder, kind, None)
        KINDS[kind][0](folder)
    return folder


def _put(folder, kind, content):
    """The file of a kind; without content the sound one."""
    _, name, _, sound = KINDS[kind]
    if content is None:
        content = sound.encode() if isinstance(sound, str) else json.dumps(sound).encode()
    path = folder / name
    path.write_bytes(content)
    return path


def _refused(kind, text, place):
    """What it costs to refuse a poisoned file in a sentence, without much memory."""
    path = _put(place, kind, text or b"")
    if text is None:
        with path.open("wb") as file:
            file.truncate(2**30)
    with nothing_happens(), measured() as cost, pytest.raises(SegtttError) as caught:
        KINDS[kind][0](place)
    path.unlink()
    told = str(caught.value)
    assert path.name in told or str(place) in told, told
    assert len(told) < 1000
    assert told.rstrip().endswith((".", "?")), told
    assert cost.bytes < MEMORY
    return cost


@pytest.mark.parametrize("name", rotated(CORPUS, every=8))
def test_a_poisoned_file_is_refused_in_a_sentence(name, place):
    _refused(name.partition(":")[0], CORPUS[name], place)


@pytest.mark.reliability
def test_poisoned_files_as_a_figure(place, table):
    costs = [_refused(name.partition(":")[0], text, place) for name, text in CORPUS.items()]
    held = sum(cost.seconds < SECONDS for cost in costs)
    table("E14", "poisoned plans, datasets, presets ... refused", len(CORPUS), held)
    assert held == len(CORPUS) >= 50


def _fuzzed(place, count):
    """Mutated files: refused in a sentence, or sound; what else happened."""
    chance, accepted, faults = random.Random(14), 0, []
    sound = {kind: _put(place, kind, None).read_bytes() for kind in KINDS}
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        content = hostile.mutated(sound[kind], chance)
        path = _put(place, kind, content)
        try:
            with nothing_happens():
                found = KINDS[kind][0](place)
            accepted += 1
            if not _sound(found, place):
                faults.append((kind, content, "accepted"))
        except SegtttError as error:
            if path.name not in str(error) and str(place) not in str(error):
                faults.append((kind, content, str(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
            faults.append((kind, content, repr(error)))
    return accepted, faults


def _sound(found, place):
    """Whether what was accepted is, written and read, the same."""
    if not hasattr(found, "dump"):
        return True
    path = Path(place) / "again.json"
    path.write_text(found.dump(), encoding="utf-8")
    return type(found).load(path) == found


def test_a_few_fuzzed_files(place):
    accepted, faults = _fuzzed(place, FEW)
    assert not faults
    assert accepted < FEW / 2


@pytest.mark.reliability
def test_all_fuzzed_files(place, table):
    with measured() as cost:
        _, faults = _fuzzed(place, ALL)
    table("E14", "fuzzed plans, datasets, presets ...", ALL, ALL - len(faults))
    assert not faults
    assert cost.bytes < MEMORY
    assert cost.seconds < SECONDS * ALL


def test_a_large_dataset_is_read(tmp_path):
    """The bounds leave room for what is real."""
    cases = [
        {"id": f"case_{i:06d}", "images": [f"/data/imagesTr/case_{i:06d}_0000.nii.gz"]}
        for i in range(20_000)
    ]
    (tmp_path / "dataset.json").write_bytes(changed(DATASET, cases=cases))
    assert len(Dataset.load(tmp_path / "dataset.json").cases) == 20_000
    assert Fingerprint.largest_bytes == Dataset.largest_bytes
