"""Names and links of strangers: nothing is written outside the folder that the user names."""

import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from segttt.cli.app import run
from segttt.errors import DataError, UsageError
from segttt.io.layouts.read import read_dataset
from segttt.io.workspace import Workspace, safe_name
from tests.io.dicom.written import edit, voxels, write_series
from tests.pipeline.conftest import tiny_case, write_volume
from tests.reliability import hostile
from tests.reliability.hostile import rotated
from tests.reliability.test_hostile_plans import DATASET, FINGERPRINT

DONE = (
    "plain", "a b", "-rf", "--help", "$(touch canary)", "`touch canary`", ";touch canary", "a&b",
    "a|b", "100%", "it's", 'a"b', "<script>alert(1)", "<img src=x onerror=alert(1)>",
    "=1+cmd|' C'!A0",
    "+1", "@SUM(1)", "CON", "nul", "aux.", "trailing.", "trailing ", " leading", "x" * 240,
    "~", "~root",
    "{a,b}", "*", "?", "[a]", "%2e%2e%2f", "%00", "…", "名前", "😀", "manifest.json", "failures",
    "journal.jsonl", "con.nii", "a..b", "$HOME", "ﬁ", "ß",
)  # fmt: skip
REFUSED = (
    ".hidden", "..", "...", "..a", "a\\b", "..\\..\\evil", "C:\\evil", "a\nb", "a\tb", "a\rb",
    "\x1b[31mred", "a\x00b", "\x7f", "gpj\u202eexe", "zero\u200bwidth", "\ufeffbom", "\u2028line",
    os.fsdecode(b"\xff\xfe"), "A", "a", "u\u0308", "\u00fc",
)  # fmt: skip
"""Also pairs that differ by case, or in how an accent is written."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return hostile.write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """A folder with something beside the output that must not change."""
    (tmp_path / "outside").mkdir()
    for name in ("victim", "other"):
        (tmp_path / "outside" / name).write_text("keep me")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def _listing(folder, *, without):
    """Every file, folder and link below a folder, with what it holds."""
    return {
        str(path.relative_to(folder)): _content(path)
        for path in folder.rglob("*")
        if path != without and without not in path.parents
    }


def _content(path):
    if path.is_symlink():
        return str(path.readlink())
    return path.read_bytes() if path.is_file() else "folder"


def _scan(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = path.parent / f"plain{seed}.nii"
    write_volume(plain, tiny_case(seed, (10, 20, 22))[0])
    plain.rename(path)


def _predict(sandbox, scans, model, *more):
    out = sandbox / "out"
    before = _listing(sandbox, without=out)
    command = ["predict", str(scans), "-m", str(model), "-o", str(out), "--overlap", "0"]
    code = run([*command, "--no-mirror", *more])
    assert _listing(sandbox, without=out) == before
    return code, out


def _named(sandbox, names):
    for number, name in enumerate(names):
        if "\x00" not in name:  # no file system can hold it
            _scan(sandbox / "scans" / f"{name}.nii", number)
    return sandbox / "scans"


def test_a_few_odd_names(sandbox, model):
    _odd_names(sandbox, model, [*DONE[::14], *REFUSED[3::5], "A", "a"])


@pytest.mark.reliability
def test_all_odd_names(sandbox, model, table):
    names = [*DONE, *REFUSED]
    _odd_names(sandbox, model, names)
    table("E15", "odd names: nothing outside, all accounted for", len(names), len(names))
    assert len(names) >= 40


def _odd_names(sandbox, model, names):
    names = list(dict.fromkeys(names))
    code, out = _predict(sandbox, _named(sandbox, names), model)
    written = {path.name.removesuffix(".nii") for path in out.glob("*.nii")}
    assert written == set(names) & set(DONE)
    failures = json.loads((out / "failures.json").read_text())
    # hidden files are no scans to begin with, as .DS_Store; a null byte no file system takes
    silent = {".hidden", "..", "...", "..a", "..\\..\\evil", "a\x00b"}
    assert len(failures) == len((set(names) & set(REFUSED)) - silent)
    assert all(one["id"].isprintable() and one["reason"].isprintable() for one in failures)
    assert all("Rename" in one["reason"] for one in failures)
    assert set(json.loads((out / "manifest.json").read_text())["cases"]) == written
    assert code == 4


@pytest.mark.parametrize("name", ["..nii", "...nii", ".x.nii", "a\\b.nii", "a\nb.nii"])
def test_one_file_of_an_odd_name(name, sandbox, model, capfd):
    _scan(sandbox / "scans" / name)
    code, out = _predict(sandbox, sandbox / "scans" / name, model)
    assert code == 3
    assert not out.exists()
    assert "Rename it" in capfd.readouterr().err


OUTPUTS = ("a.nii", "manifest.json", "failures.json", ".lock")


@pytest.mark.parametrize("name", rotated(OUTPUTS, every=2))
@pytest.mark.parametrize("target", ["victim", "nothing"])
def test_an_output_that_is_a_link_is_not_written_through(name, target, sandbox, model):
    _scan(sandbox / "scans" / "a.nii")
    (sandbox / "out").mkdir()
    (sandbox / "out" / name).symlink_to(sandbox / "outside" / target)
    code, out = _predict(sandbox, sandbox / "scans", model)
    assert code == 0 or name == ".lock"
    if code == 0 and name != ".lock":
        assert not (out / name).is_symlink()
        assert (out / name).stat().st_size > 2 or name == "failures.json"


EVALUATED = ("cases.csv", "summary.json", "files.json", "journal.jsonl", ".lock")


@pytest.mark.parametrize("name", rotated(EVALUATED, every=2))
@pytest.mark.parametrize("target", ["victim", "nothing"])
def test_a_link_among_the_scores_is_not_written_through(name, target, sandbox):
    for folder in ("found", "truth"):
        write_volume(sandbox / folder / "a.nii", tiny_case(0)[1])
    out = sandbox / "out"
    out.mkdir()
    (out / name).symlink_to(sandbox / "outside" / target)
    before = _listing(sandbox, without=out)
    code = run(["evaluate", str(sandbox / "found"), str(sandbox / "truth"), "-o", str(out)])
    assert _listing(sandbox, without=out) == before
    assert code == 0 or name == ".lock"


def test_links_among_the_inputs(sandbox, model):
    """A link to a scan is a scan, as in data folders made of links; loops are none."""
    _scan(sandbox / "outside" / "real.nii")
    scans = sandbox / "scans"
    scans.mkdir()
    (scans / "linked.nii").symlink_to(sandbox / "outside" / "real.nii")
    (scans / "loop.nii").symlink_to(scans / "loop.nii")
    (scans / "gone.nii").symlink_to(scans / "nowhere.nii")
    (scans / "around").symlink_to(scans)
    os.mkfifo(scans / "pipe.nii")
    code, out = _predict(sandbox, scans, model)
    assert (code, [path.name for path in out.glob("*.nii")]) == (0, ["linked.nii"])


def test_dicom_that_names_paths(sandbox, model):
    scans = sandbox / "scans"
    image = np.clip(tiny_case(0)[0], 0, None).astype(np.uint16)
    bad = "../../../../outside/pwned"
    for number, folder in enumerate(("one", "..x", "-rf")):
        for path in write_series(scans / folder, image, number=number):
            edit(path, SeriesInstanceUID=f"{bad}{number}", PatientID=bad, SeriesDescription=bad)
    code, out = _predict(sandbox, scans, model, "--format", "nifti")
    assert code == 0
    ids = {path.name.removesuffix(".nii.gz") for path in out.glob("*.nii.gz")}
    assert len(ids) == 3
    assert all(safe_name(one) == one for one in ids)


def test_a_dicom_link_out_of_the_folder_is_not_followed(sandbox, model):
    write_series(sandbox / "outside" / "series", voxels((4, 8, 9)))
    write_series(sandbox / "scans" / "own", voxels((4, 8, 9)))
    (sandbox / "scans" / "other").symlink_to(sandbox / "outside" / "series")
    code, out = _predict(sandbox, sandbox / "scans", model, "--format", "nifti")
    assert (code, len([*out.glob("*.nii.gz")])) == (0, 1)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "zip as nii.gz", "tar as nii"])
def test_archives_are_not_unpacked(kind, sandbox, model, capfd):
    (sandbox / "scans").mkdir()
    path = sandbox / "scans" / f"a.{kind.rpartition(' ')[2]}"
    if kind.startswith("zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../../outside/victim", "pwned")
    else:
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo("../../outside/victim")
            archive.addfile(member)
    code, out = _predict(sandbox, path, model)
    assert code == 3
    assert str(path) in capfd.readouterr().err or (out / "failures.json").is_file()
    assert not [*out.glob("*.nii*")]


ENTRIES = (
    "../../outside/victim", "/etc/passwd", "imagesTr/../../outside/a.nii", "imagesTr/...nii",
    "imagesTr/..nii", "imagesTr/.nii", "imagesTr/.hidden.nii", "", "imagesTr", "imagesTr/a\0.nii",
    "~/a.nii", "file:///etc/passwd", "imagesTr\\..\\..\\a.nii", 5, None, ["a"], {"a": 1}, True,
)  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES, ids=repr)
def test_entries_of_a_dataset_that_lead_elsewhere(entry, sandbox):
    """The sound case stays; the other is named and its files are not touched."""
    data = sandbox / "data"
    for name in ("good.nii", "...nii", "..nii", ".nii", ".hidden.nii"):
        _scan(data / "imagesTr" / name)
        write_volume(data / "labelsTr" / "l.nii", tiny_case(0)[1])
        (data / "labelsTr" / "l.nii").rename(data / "labelsTr" / name)
    training = [
        {"image": "./imagesTr/good.nii", "label": "./labelsTr/good.nii"},
        {"image": entry, "label": entry},
    ]
    names = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "x": 1, "y": 2}}
    (data / "dataset.json").write_text(json.dumps({**names, "training": training}))
    dataset, failures = read_dataset(data)
    assert [case.id for case in dataset.cases] == ["good"]
    assert failures
    assert all(one.reason.isprintable() or "\n" in one.reason for one in failures)


@pytest.mark.parametrize("name", ["../../outside/evil", "..", ".lock", "/abs", "a\\b"])
def test_a_workspace_of_a_stranger_is_refused(name, sandbox, capfd):
    folder = sandbox / "out"
    _scan(sandbox / "outside" / "a.nii")
    case = {"id": name, "images": [str(sandbox / "outside" / "a.nii")]}
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps({**DATASET, "cases": [case]}))
    (folder / "fingerprint.json").write_text(json.dumps(FINGERPRINT))
    (folder / "plan.json").write_text(hostile.good_plan().dump())
    before = _listing(sandbox, without=folder)
    for command in (["preprocess"], ["train", "--time-limit", "1s"]):
        assert run([*command, "-w", str(folder)]) == 2
        assert "the name of a case" in capfd.readouterr().err
    assert _listing(sandbox, without=folder) == before


@pytest.mark.parametrize("text", ["../../x", "/etc/passwd", "..", "", "a/b", "\0", "名", "x" * 50])
def test_a_name_becomes_one_harmless_part(text):
    name = safe_name(text)
    assert name
    assert name.isascii()
    assert Path(name).name == name
    assert name not in (".", "..")
    run_folder = Workspace(Path("w")).run(text, 0, 0)
    assert ".." not in run_folder.parts
    assert len(run_folder.parts) == 5


def test_a_link_in_place_of_a_prepared_case_is_not_followed(tmp_path):
    from segttt.errors import ResourceError
    from segttt.io.files import replace_folder

    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "kept").write_text("keep me")
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "case").symlink_to(tmp_path / "victim")
    with (
        pytest.raises((ResourceError, DataError, UsageError)),
        replace_folder(tmp_path / "prepared" / "case") as place,
    ):
        (place / "image").write_text("new")
    assert (tmp_path / "victim" / "kept").read_text() == "keep me"
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["kept"]
