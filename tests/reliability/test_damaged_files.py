"""Damaged files are always noticed, and named: truncations, flipped bits, lying headers.

A few of each run with every test; `make reliability` runs them all and prints the figures.
"""

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from segttt.errors import DataError, SegtttError
from segttt.io.dicom.header import read_header
from segttt.io.dicom.pixels import decode
from segttt.io.dicom.study import read_series, read_study
from segttt.io.images import read_image
from segttt.io.pictures import read_picture
from tests.io.dicom.written import edit, voxels, write_series
from tests.reliability.damage import (
    KINDS,
    VOLUME,
    flips,
    malformed_nifti,
    malformed_pictures,
    patched,
    truncations,
)

FEW, ALL_CUTS, ALL_FLIPS = 25, 120, 1200


def _cut(kind, tmp_path, count):
    """How many truncations were refused with the file's name, and the lengths that were not."""
    path = tmp_path / kind.name
    kind.write(path)
    content = path.read_bytes()
    kind.read(path)
    missed, lengths = [], truncations(len(content), count, seed=len(content))
    for length in lengths:
        path.write_bytes(content[:length])
        try:
            kind.read(path)
            missed.append(length)
        except SegtttError as error:
            if path.name not in str(error):
                missed.append(length)
    return len(lengths), missed


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_few_truncations(kind, tmp_path):
    tried, missed = _cut(kind, tmp_path, FEW)
    assert tried >= FEW - 2
    assert not missed


@pytest.mark.reliability
def test_all_truncations(tmp_path, table):
    tried, missed = 0, Counter()
    for kind in KINDS:
        (tmp_path / kind.name).mkdir()
        count, lengths = _cut(kind, tmp_path / kind.name, ALL_CUTS)
        tried, missed[kind.name] = tried + count, len(lengths)
    table("E9", f"truncations of {len(KINDS)} formats", tried, tried - missed.total())
    assert tried >= 1000
    assert not missed.total(), +missed


def _flip(tmp_path, count):
    """The flips that gave other voxels; the few in the padding of the stream change nothing."""
    path = tmp_path / "scan.nii.gz"
    KINDS[1].write(path)
    content = path.read_bytes()
    missed = []
    for place, bit in flips(len(content), count, seed=3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            if not np.array_equal(read_image(path)[0][0], VOLUME):
                missed.append((place, bit))
        except DataError as error:
            if path.name not in str(error):
                missed.append((place, bit))
    return missed


def test_a_few_flipped_bits(tmp_path):
    assert not _flip(tmp_path, FEW)


@pytest.mark.reliability
def test_all_flipped_bits(tmp_path, table):
    missed = _flip(tmp_path, ALL_FLIPS)
    table("E10", "flipped bits in .nii.gz", ALL_FLIPS, ALL_FLIPS - len(missed))
    assert not missed


NIFTI = malformed_nifti()
PICTURES = malformed_pictures()


@pytest.mark.parametrize("patches", NIFTI.values(), ids=NIFTI.keys())
def test_malformed_nifti(tmp_path, patches):
    path = tmp_path / "scan.nii"
    KINDS[0].write(path)
    path.write_bytes(patched(path.read_bytes(), patches))
    with pytest.raises(DataError, match=r"scan\.nii.*\. ?"):
        read_image(path)


@pytest.mark.parametrize("damage", ["nan", "inf", "trailing", "plain text", "nothing", "twice"])
def test_malformed_nifti_content(tmp_path, damage):
    path = tmp_path / "scan.nii"
    KINDS[0].write(path)
    content = path.read_bytes()
    values = VOLUME.astype(np.float32)
    values[1, 2, 3] = {"nan": np.nan, "inf": np.inf}.get(damage, 0)
    header = patched(content[:352], ((70, "<2h", (16, 32)),))
    path.write_bytes(
        {
            "trailing": content + b"\0",
            "plain text": b"hello " * 99,
            "nothing": b"",
            "twice": content + content,
        }.get(damage, header + values.tobytes())
    )
    with pytest.raises(DataError, match=r"scan\.nii"):
        read_image(path)


def test_a_compressed_bomb_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "scan.nii.gz"
    KINDS[0].write(tmp_path / "plain.nii")
    head = patched(
        (tmp_path / "plain.nii").read_bytes()[:352],
        ((42, "<3h", (30000, 30000, 30000)),),
    )
    path.write_bytes(gzip.compress(head) + gzip.compress(bytes(50_000_000)))
    with pytest.raises(DataError, match=r"is cut|voxels"):
        read_image(path)


@pytest.mark.parametrize(("name", "content"), PICTURES.values(), ids=PICTURES.keys())
def test_malformed_pictures(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_picture(tmp_path / name, None)


TAGS = {
    "Rows": (None, 0, 60000, 4000),
    "Columns": (None, 0, 60000, 4000),
    "BitsAllocated": (None, 0, 7, 17, 64),
    "SamplesPerPixel": (0, 3, 4),
    "PhotometricInterpretation": ("RGB", "PALETTE COLOR", "YBR_FULL"),
    "PixelData": (None, b"", b"ab"),
    "RescaleSlope": ("0", "nan", "x"),
    "RescaleIntercept": ("inf", "x"),
    "ImagePositionPatient": (None, [1, 2], ["x", 1, 2], ["nan", 1, 2], [0, 0, 1e9], [7, 7, 7]),
    "ImageOrientationPatient": (
        None, [1, 0, 0], [0] * 6, [1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 2, 0], ["nan"] * 6,
        [1, 0, 0, 0.5, 0.8, 0],
    ),
    "PixelSpacing": (None, [1], [0, 0], [-1, 1], ["nan", 1], ["x", 1], [1e9, 1e9]),
    "SOPClassUID": ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.11"),
    "NumberOfFrames": (2, 10**6),
}  # fmt: skip
DICOM = [(tag, value) for tag, values in TAGS.items() for value in values]


@pytest.mark.parametrize("where", ["one slice", "every slice"])
@pytest.mark.parametrize(("tag", "value"), DICOM, ids=lambda value: str(value)[:30])
def test_malformed_dicom(tmp_path, tag, value, where):
    files = write_series(tmp_path, voxels((4, 5, 6)))
    chosen = files[1:2] if where == "one slice" else files
    for path in chosen:
        _force(path, tag, value)
    study = read_study(tmp_path)
    problems = [one.problem or _unreadable(one.files) for one in study.series]
    reasons = [*(one.reason for one in study.broken), *problems]
    skipped = tag == "SOPClassUID" and where == "every slice"
    assert skipped or any(reason and str(tmp_path) in reason for reason in reasons), problems
    good = [one for one, problem in zip(study.series, problems, strict=True) if not problem]
    assert not good


def _force(path, tag, value):
    if tag in ("RescaleSlope", "RescaleIntercept"):
        edit(path, RescaleSlope="1", RescaleIntercept="0")
    wordy = value == "x" or (isinstance(value, list) and "x" in value)
    if not wordy:
        edit(path, **{tag: value})
        return
    number = "7.65432"  # the writer refuses words where numbers belong
    edit(path, **{tag: number if value == "x" else [number if v == "x" else v for v in value]})
    path.write_bytes(path.read_bytes().replace(number.encode(), b"x.65432"))


def _unreadable(files):
    try:
        read_series(files)
    except DataError as error:
        return str(error)
    return ""


def _fuzz(tmp_path, count):
    """Slices with a few random bytes changed: read, or refused by name; nothing else happens."""
    sources = [Path(get_testdata_file(f"MR_small{kind}.dcm")).read_bytes() for kind in FUZZED]
    random = np.random.default_rng(8)
    path, kept, unnamed = tmp_path / "slice", 0, 0
    for _ in range(count):
        content = bytearray(sources[random.integers(len(sources))])
        for place in random.integers(132, 2500, random.integers(1, 6)).tolist():
            content[place] = random.choice([0, 255, random.integers(256)])
        path.write_bytes(content)
        try:
            header = read_header(path)
            kept += len(list(decode(path, header.frames)))
        except DataError as error:
            unnamed += path.name not in str(error)
    return kept, unnamed


FUZZED = ("", "_RLE", "_jpeg_ls_lossless", "_bigendian")


def test_a_few_fuzzed_dicom_headers(tmp_path):
    kept, unnamed = _fuzz(tmp_path, 30)
    assert 0 < kept < 30
    assert unnamed == 0


@pytest.mark.reliability
def test_many_fuzzed_dicom_headers(tmp_path, table):
    _, unnamed = _fuzz(tmp_path, 1000)
    table("E11", "fuzzed DICOM: read or refused by name", 1000, 1000 - unnamed)
    assert unnamed == 0


def test_the_corpus_is_as_large_as_promised():
    assert len(NIFTI) + 7 >= 60
    assert 2 * len(DICOM) >= 60
    assert len(PICTURES) >= 30
    assert len(NIFTI) + 7 + 2 * len(DICOM) + len(PICTURES) >= 150
