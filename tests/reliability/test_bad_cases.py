"""One bad case never hides another: every command does the good ones and names each bad one."""

import json
import shutil

import numpy as np
import pytest

from segttt.cli.app import run
from tests.pipeline.conftest import tiny_case, write_volume
from tests.reliability import hostile
from tests.reliability.damage import malformed_nifti, malformed_pictures, patched

GOOD = 3
SPACING = (1.5, 1.5, 3.0)
EVERY = 15
"""Of the malformed files one in so many with every run, another one for every command."""


def _volume(array):
    def write(path):
        write_volume(path, array, SPACING)

    return write


def _damaged(patches):
    def write(path):
        plain = path.with_name(f"{path.stem}-plain.nii")
        write_volume(plain, tiny_case(1)[1].astype(np.int16), SPACING)
        path.write_bytes(patched(plain.read_bytes(), patches))
        plain.unlink()

    return write


def _bytes(content):
    return lambda path: path.write_bytes(content)


def _cut(path):
    _volume(tiny_case(1)[0])(path)
    path.write_bytes(path.read_bytes()[:-999])


BAD = {
    "empty": _bytes(b""),
    "text": _bytes(b"not a scan " * 99),
    "cut": _cut,
    "NaN": _volume(np.full((10, 20, 22), np.nan, np.float32)),
    "pickle": _bytes(b"\x80\x04\x95" + bytes(400)),
    "zip": _bytes(b"PK\x03\x04" + bytes(400)),
    **{name: _damaged(patches) for name, patches in malformed_nifti().items()},
}


def _selected(start, every):
    return dict(list(BAD.items())[start::every])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return hostile.write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


def _cohort(folder, chosen):
    """Good cases and bad images in nnU-Net's layout; every second bad case has a sound label."""
    for number in range(GOOD):
        image, label = tiny_case(number)
        _volume(image)((folder / "imagesTr") / f"good_{number}_0000.nii")
        _volume(label)((folder / "labelsTr") / f"good_{number}.nii")
    for number, write in enumerate(chosen.values()):
        image = folder / "imagesTr" / f"bad_{number:03}_0000.nii"
        label = folder / "labelsTr" / f"bad_{number:03}.nii"
        (write if number % 2 == 0 else _volume(tiny_case(1)[0]))(image)
        (write if number % 2 else _volume(tiny_case(1)[1]))(label)
    names = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "x": 1, "y": 2}}
    (folder / "dataset.json").write_text(json.dumps(names))
    return folder


def _assert_named(failures, count, chosen, held=None):
    """Each bad case once, with a file of its own and a remedy; none of the good ones."""
    assert sorted(failures) == [f"bad_{number:03}" for number in range(count)], set(chosen)
    for case, reason in failures.items():
        assert case in reason
        assert reason.rstrip().endswith((".", "?"))
        assert "Traceback" not in reason


def _check(tmp_path, model, chosen, capfd):
    data = _cohort(tmp_path / "data", chosen)
    code = run(["data", "check", str(data), "--json", "--workers", "2"])
    told = json.loads(capfd.readouterr().out)
    assert (told["good"], told["bad"]) == (GOOD, len(chosen))
    return code, {case: problems[0] for case, problems in told["problems"].items()}


def _preprocess(tmp_path, model, chosen, capfd):
    data = _cohort(tmp_path / "data", chosen)
    command = ["preprocess", "--data", str(data), "-w", str(tmp_path / "run"), "--workers", "2"]
    code = run([*command, "--json"])
    told = json.loads(capfd.readouterr().out)
    assert told["made"] == GOOD
    written = json.loads((tmp_path / "run" / "check.json").read_text())
    assert [one["id"] for one in written] == [one["id"] for one in told["failures"]]
    return code, {one["id"]: one["reason"] for one in told["failures"]}


def _predict(tmp_path, model, chosen, capfd):
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(GOOD):
        _volume(tiny_case(number)[0])(scans / f"good_{number}.nii")
    for number, write in enumerate(chosen.values()):
        write(scans / f"bad_{number:03}.nii")
    out = tmp_path / "out"
    command = ["predict", str(scans), "-m", str(model), "-o", str(out), "--overlap", "0"]
    code = run([*command, "--no-mirror"])
    assert len([*out.glob("good_*.nii")]) == GOOD
    assert not [*out.glob("bad_*")]
    capfd.readouterr()
    return code, _failures(out)


def _evaluate(tmp_path, model, chosen, capfd):
    found, truth, out = (tmp_path / name for name in ("found", "truth", "out"))
    for number in range(GOOD):
        for folder in (found, truth):
            _volume(tiny_case(number)[1])(folder / f"good_{number}.nii")
    for number, write in enumerate(chosen.values()):
        write((found if number % 2 else truth) / f"bad_{number:03}.nii")
        _volume(tiny_case(1)[1])((truth if number % 2 else found) / f"bad_{number:03}.nii")
    command = ["evaluate", str(found), str(truth), "-o", str(out), "--labels", "1=x,2=y"]
    code = run([*command, "--workers", "2"])
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["n_cases"], summary["n_failed"]) == (GOOD, len(chosen))
    assert summary["mean_dice"] == 1
    capfd.readouterr()
    return code, _failures(out)


def _failures(out):
    return {one["id"]: one["reason"] for one in json.loads((out / "failures.json").read_text())}


COMMANDS = {
    "data check": _check,
    "preprocess": _preprocess,
    "predict": _predict,
    "evaluate": _evaluate,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_good_cases_of_a_mixed_folder_are_done(command, tmp_path, model, capfd):
    chosen = _selected(2 * list(COMMANDS).index(command), EVERY)
    _mixed(command, tmp_path, model, chosen, capfd)


@pytest.mark.reliability
@pytest.mark.parametrize("command", COMMANDS)
def test_the_good_cases_beside_all_bad_ones(command, tmp_path, model, capfd, table):
    _mixed(command, tmp_path, model, BAD, capfd)
    table("E11", f"bad cases named by {command}", len(BAD), len(BAD))


def _mixed(command, tmp_path, model, chosen, capfd):
    code, failures = COMMANDS[command](tmp_path, model, chosen, capfd)
    assert code == 4
    _assert_named(failures, len(chosen), chosen)


@pytest.mark.parametrize("command", COMMANDS)
def test_where_no_case_is_good(command, tmp_path, model, capfd):
    """Exit code 3; nothing is written that looks like a result."""
    data, out = tmp_path / "data", tmp_path / "out"
    images, labels = data / "imagesTr", data / "labelsTr"
    for number, write in enumerate(_selected(0, 2 * EVERY).values()):
        _volume(tiny_case(1)[1])(labels / f"bad_{number:03}.nii")
        images.mkdir(exist_ok=True)
        write(images / f"bad_{number:03}_0000.nii")
    names = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "x": 1, "y": 2}}
    (data / "dataset.json").write_text(json.dumps(names))
    arguments = {
        "data check": ["data", "check", str(data), "--workers", "1"],
        "preprocess": ["preprocess", "--data", str(data), "-w", str(out), "--workers", "1"],
        "predict": ["predict", str(images), "-m", str(model), "-o", str(out), "--no-mirror"],
        "evaluate": ["evaluate", str(images), str(labels), "-o", str(out), "--labels", "1=x"],
    }
    assert run(arguments[command]) == 3
    told = capfd.readouterr()
    assert "bad_000" in told.out + told.err
    assert "Traceback" not in told.err
    assert not [*out.rglob("*.nii")]


@pytest.mark.parametrize("part", [0, 1])
def test_pictures_beside_bad_ones(part, tmp_path, capfd):
    """A folder of pictures: the bad ones are named, the good one is scored."""
    found, truth, out = (tmp_path / name for name in ("found", "truth", "out"))
    pictures = list(malformed_pictures().items())[part::6]
    for folder in (found, truth):
        _volume(tiny_case(0)[1])(folder / "good.nii")
    expected = set()
    for number, (_, (name, content)) in enumerate(pictures):
        path = truth / f"bad_{number}{name[1:]}"
        path.write_bytes(content)
        shutil.copy(path, found / path.name)
        expected.add(f"bad_{number}")
    code = run(["evaluate", str(found), str(truth), "-o", str(out), "--labels", "1=x,2=y"])
    capfd.readouterr()
    assert code == 4
    assert set(_failures(out)) == expected
    assert json.loads((out / "summary.json").read_text())["n_cases"] == 1
