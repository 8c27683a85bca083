"""The training curves: deterministic, valid, and true to the records."""

import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from segttt.report.curves import curves_svg

RECORDS = [
    {
        "epoch": 0,
        "train_loss": 1.0,
        "val_loss": 1.1,
        "dice": [None, 0.1],
        "mean_dice": 0.1,
        "lr": 1e-2,
    },
    {
        "epoch": 1,
        "train_loss": 0.5,
        "val_loss": None,
        "dice": [0.4, 0.6],
        "mean_dice": 0.5,
        "lr": 5e-3,
    },
    {
        "epoch": 2,
        "train_loss": 0.2,
        "dice": [0.5, 0.8],
        "mean_dice": 0.65,
        "lr": 1e-3,
        "seconds": 3.0,
    },
]


def lines(svg):
    """Number of drawn curves: the curves are the only clipped paths without a fill."""
    return [
        path.get("d")
        for path in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")
        if path.get("clip-path") and "stroke-width: 0.8" not in path.get("style", "")
    ]


def test_equal_records_give_equal_text_without_a_date():
    svg = curves_svg(RECORDS, ["liver", "spleen"])
    assert svg == curves_svg(RECORDS, ["liver", "spleen"])
    assert "<dc:date>" not in svg


def test_one_curve_per_quantity():
    # training and validation loss, two classes, their mean, learning rate
    assert len(lines(curves_svg(RECORDS))) == 6
    assert len(lines(curves_svg([{k: r[k] for k in ("epoch", "lr")} for r in RECORDS]))) == 1


def test_missing_values_leave_out_points_and_do_not_shift_others():
    whole = lines(curves_svg([{"epoch": e, "lr": 0.1 * (e + 1)} for e in range(4)]))[0]
    gap = lines(
        curves_svg([{"epoch": e, "lr": None if e == 1 else 0.1 * (e + 1)} for e in range(4)])
    )[0]
    points = whole.split()
    assert gap.split() == [*points[:3], *points[6:]]


@pytest.mark.parametrize("records", [[], RECORDS[:1], [{"epoch": 0}]])
def test_short_trainings_are_drawn_too(records):
    assert ET.fromstring(curves_svg(records)).tag.endswith("svg")


def test_matplotlib_is_imported_late_and_pyplot_never():
    code = (
        "import sys\n"
        "from segttt.report import curves, overlay, tables\n"
        "early = 'matplotlib' in sys.modules\n"
        "curves.curves_svg([])\n"
        "sys.exit(early or 'matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_leaves_no_settings_behind():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    curves_svg(RECORDS)
    assert dict(mpl.rcParams) == before
