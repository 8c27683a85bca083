"""What patients leave in files stays there, and what names hold is text and nothing else."""

import csv
import gzip
import json
import re

import numpy as np
import pydicom
import pytest

from segttt.cli.app import run
from segttt.config.text import parse_json
from segttt.io.dicom.study import read_series, usable_files
from segttt.io.images import write_image
from segttt.report.curves import curves_svg
from segttt.report.tables import cases_csv, cells_csv, read_cases_csv, read_cells_csv
from tests.browser import specimen
from tests.io.dicom.written import CANARIES, CANARY_DATE, canary, write_series
from tests.pipeline.conftest import SMALL, tiny_case, write_volume
from tests.reliability import hostile

PRIVATE = {f"ZQPRIV{number:02}X": (0x0011 + 2 * (number // 8), number % 8) for number in range(16)}
"""Values of private tags, as scanners fill them with names and reports."""
IN_SEQUENCES = "ZQSEQUENCE"
NAMED_IN_SEG = {
    "PatientName", "PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName",
    "StudyDescription", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "OtherPatientNames",
    "PatientComments", "EthnicGroup", "Occupation", "AdditionalPatientHistory",
}  # fmt: skip
"""Tags of patient and study, which the standard lets derived objects carry."""


def _write(folder, number=0):
    """A series with canaries in text tags, dates, private tags and nested sequences."""
    image, label = tiny_case(number)
    files = write_series(folder, np.clip(image, 0, None).astype(np.uint16), spacing=(3, 1.5, 1.5))
    for path in files:
        data = pydicom.dcmread(path)
        for value, (group, offset) in PRIVATE.items():
            block = data.private_block(group, "ZQCREATOR", create=True)
            block.add_new(offset + 1, "LO", value)
        item = pydicom.Dataset()
        item.CodeMeaning = item.PatientName = item.TextValue = IN_SEQUENCES
        data.RequestAttributesSequence = [item]
        data.save_as(path)
    return label


def _secrets(folder):
    uids = {
        str(element.value)
        for path in folder.rglob("IM*")
        for element in pydicom.dcmread(path)
        if element.VR == "UI" and element.keyword != "SOPClassUID"
    }
    return [*map(canary, CANARIES), *PRIVATE, "ZQCREATOR", IN_SEQUENCES, CANARY_DATE, *uids]


def _texts(*folders):
    """Every file below the folders as text, unpacked, with its name."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.name.endswith(".seg.dcm"):
                content = path.read_bytes()
                packed = content.startswith(b"\x1f\x8b")
                yield path, (gzip.decompress(content) if packed else content).decode("latin")


def _assert_nobody(secrets, *folders, said=""):
    for path, text in _texts(*folders):
        found = [one for one in secrets if one in text or one in path.name]
        assert not found, (path, found)
    assert not [one for one in secrets if one in said]


@pytest.fixture(scope="module")
def scanner(tmp_path_factory):
    """The images of a patient, and a label map."""
    place = tmp_path_factory.mktemp("scanner")
    (place / "labels").mkdir()
    for number in range(1):
        label = _write(place / "images" / f"case_{number}", number)
        grid = read_series(usable_files(place / "images" / f"case_{number}"))[1]
        write_image(place / "labels" / f"case_{number}.nii.gz", label, grid)
    return place


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return hostile.write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def predicted(scanner, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("job") / "out"
    broken = scanner / "images" / "broken"
    _write(broken, 2)
    sorted(broken.iterdir())[3].unlink()
    command = ["predict", str(scanner / "images"), "-m", str(model), "-o", str(out)]
    assert run([*command, "--no-mirror"]) == 4
    return out


def test_nobody_is_named_by_predictions_scores_and_report(scanner, predicted, capfd, table):
    truth, images = scanner / "labels", scanner / "images"
    assert run(["evaluate", str(predicted), str(truth), "--json"]) == 0
    assert run(["report", str(predicted), str(truth), "--images", str(images)]) == 0
    assert run(["--debug", "predict", str(images), "-m", "nowhere", "-o", "x"]) == 2
    printed = capfd.readouterr()
    assert run(["--debug", "data", "check", str(images)]) == 4
    listed = capfd.readouterr()
    secrets = _secrets(images)
    told = [one for one in secrets if one in listed.out + listed.err]
    assert told == [canary("SeriesDescription")]  # by which the user chooses a series
    assert len({*CANARIES, *PRIVATE}) >= 30
    _assert_nobody(secrets, predicted, said=printed.out + printed.err)
    kinds = {path.suffix for path in predicted.rglob("*") if path.is_file()}
    assert kinds >= {".gz", ".dcm", ".json", ".csv", ".html"}
    table("E16", "canaries of tags, dates and UIDs found nowhere", len(secrets), len(secrets))


def test_a_dicom_seg_names_the_patient_and_nothing_else(predicted):
    text = (predicted / "case_0.seg.dcm").read_bytes().decode("latin")
    found = {keyword for keyword in CANARIES if canary(keyword) in text}
    assert {"PatientName", "PatientID"} <= found <= NAMED_IN_SEG, found - NAMED_IN_SEG
    assert not [one for one in (*PRIVATE, "ZQCREATOR", IN_SEQUENCES) if one in text]
    assert not [one for one in pydicom.dcmread(predicted / "case_0.seg.dcm") if one.tag.is_private]


def test_the_free_text_of_a_nifti_is_empty(predicted):
    content = gzip.decompress((predicted / "case_0.nii.gz").read_bytes())
    for start, stop in ((4, 32), (228, 252), (328, 344)):  # data_type, db_name; aux; intent
        assert not content[start:stop].strip(b"\0 r")
    assert re.fullmatch(rb"(ITK|SimpleITK)?[ \w.]*\0*", content[148:228])


@pytest.mark.reliability
def test_nobody_is_named_by_a_training(scanner, tmp_path, capfd):
    data, folder = tmp_path / "data", tmp_path / "run"
    for number in range(4):
        label = _write(data / "imagesTr" / f"case_{number}_0000", number)
        grid = read_series(usable_files(data / "imagesTr" / f"case_{number}_0000"))[1]
        (data / "labelsTr").mkdir(exist_ok=True)
        write_image(data / "labelsTr" / f"case_{number}.nii.gz", label, grid)
    names = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "liver": 1, "back": 2}}
    (data / "dataset.json").write_text(json.dumps(names))
    train = ["train", "--preset", "laptop", "--epochs", "1", "--iters", "1", "--threads", "1"]
    assert run([*train, *SMALL, "--data", str(data), "-w", str(folder), "--fold", "0"]) == 0
    assert run(["report", "-w", str(folder)]) == 0
    printed = capfd.readouterr()
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds >= {".safetensors", ".json", ".jsonl", ".html", ".md", ".csv", ".svg", ".b2nd"}
    _assert_nobody(_secrets(data / "imagesTr"), folder, said=printed.out + printed.err)


# --- names are text -----------------------------------------------------------------------------

SCRIPT = "<script>alert(1)"
NASTY = (
    SCRIPT, "</script><img src=x onerror=alert(1)>", "=1+cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)",
    "$\\frac{$", "a$b$c_{", "NaN", "Infinity", '"quoted"', "it's", "a,b;c", "{{7*7}}", "{% raw %}",
    "%s%n", "\\", "'=1", "é", "名",
)  # fmt: skip


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """Scans, truth and predictions whose cases and labels have such names."""
    place = tmp_path_factory.mktemp("nasty")
    labels = dict(enumerate(NASTY, start=1))
    model = hostile.write_model(
        place / "model.safetensors", hostile.good_plan(name=SCRIPT, labels=labels)
    )
    names = [name.replace("/", "|").replace("\\", "|") for name in NASTY[::4]]
    for number, name in enumerate(names):
        image, _ = tiny_case(number, (8, 16, 16))
        write_volume(place / "imagesTs" / f"{name}.nii", image)
        write_volume(place / "labelsTs" / f"{name}.nii", (image > 40).astype(np.uint8))
    out = place / "out"
    scans, truth = str(place / "imagesTs"), str(place / "labelsTs")
    assert run(["predict", scans, "-m", str(model), "-o", str(out), "--no-mirror"]) == 0
    (place / "labelsTs" / f"{names[0]}.nii").write_bytes(b"broken")
    assert run(["evaluate", str(out), truth]) == 4
    assert run(["report", str(out), truth]) in (0, 4)
    return out


def test_json_is_strict(nasty):
    files = [*nasty.rglob("*.json")]
    assert len(files) >= 5
    for path in files:
        parse_json(path.read_text(encoding="utf-8"))
    page = (nasty / "evaluate" / "report.html").read_text(encoding="utf-8")
    payloads = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert payloads
    for payload in payloads:
        parse_json(payload)


def test_names_are_text_in_html(nasty):
    page = (nasty / "evaluate" / "report.html").read_text(encoding="utf-8")
    body = page[page.index("<body") :]
    assert SCRIPT not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x" in body or "\\u003cimg" in body
    assert "{{7*7}}" in page or "{{7*7}}" not in NASTY
    assert not re.search(r'(?:src|href)="(?!data:|#)', re.sub(r"<script>.*?</script>", "", page,
                                                             flags=re.DOTALL))  # fmt: skip


def test_no_field_of_a_table_is_a_formula(nasty):
    for path in nasty.rglob("*.csv"):
        for row in csv.reader(path.read_text(encoding="utf-8").splitlines()):
            for field in row:
                number = re.fullmatch(r"-?\d+(\.\d+)?(e[-+]?\d+)?", field)
                assert number or not field.startswith(("=", "+", "-", "@", "\t", "\r")), field


def test_tables_are_read_back_by_their_names(nasty):
    cases = read_cases_csv((nasty / "evaluate" / "cases.csv").read_text(encoding="utf-8"))
    written = json.loads((nasty / "manifest.json").read_text())["cases"]
    assert {case.id for case in cases} < set(written)
    assert len(cases) == len(written) - 1
    again = read_cases_csv(cases_csv(cases, dict(enumerate(NASTY, start=1))))
    assert again == cases
    assert read_cells_csv(cells_csv(cases)) == {}


def test_formulas_in_labels_are_no_mathematics():
    """A drawing of curves shows a label such as $x$ as it is."""
    history = [{"epoch": i, "train_loss": 1.0, "val_loss": 1.0, "dice": [0.5] * len(NASTY),
                "mean_dice": 0.5, "lr": 0.01, "spent_seconds": 1.0} for i in range(3)]  # fmt: skip
    drawn = curves_svg(history, [name for name in NASTY if name.isascii()])
    assert SCRIPT not in drawn


def test_reports_of_runs_show_names_as_text(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(specimen, "NAMES", {1: "$\\frac{$", 4: "</script>" + SCRIPT})
    folder = specimen.write_run(tmp_path / "run", 4)
    assert run(["report", "-w", str(folder)]) == 0, capfd.readouterr().err
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert SCRIPT not in page
    assert SCRIPT not in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
