"""The protocols on small cases by hand, with the numbers that the published programs print.

`benchmarks/metrics/protocols.py` compares them on random cases where those programs are at hand.
"""

import numpy as np
import pytest

from segttt.config.report import Scoring
from segttt.metrics.instances import score_instances
from segttt.metrics.protocols import case_mean, mean_over_labels, remarks
from segttt.metrics.score import score
from segttt.metrics.summary import summarise
from segttt.preprocessing.cells import decode_paper
from segttt.report.nnunet import nnunet_summary

SPACING = (3.0, 1.5, 1.5)
TOLERANCES = {1: 5, 2: 3, 3: 3, 4: 5, 5: 2, 6: 2, 7: 2, 8: 2, 9: 2, 10: 3, 11: 5, 12: 7, 13: 3}
ORGANS = list(TOLERANCES)


def volume(boxes):
    """A volume with {label: (z0, z1, y0, y1, x0, x1)}."""
    values = np.zeros((14, 30, 34), np.uint8)
    for label, (z0, z1, y0, y1, x0, x1) in boxes.items():
        values[z0:z1, y0:y1, x0:x1] = label
    return values


def body():
    """A liver, a kidney off by a slice, an aorta that goes on too far, a cava that ends too early.

    The spleen is missed, the pancreas invented, the gallbladder hardly met.
    """
    truth = {1: (2, 9, 2, 12, 2, 14), 2: (3, 8, 16, 22, 2, 9), 3: (4, 8, 16, 22, 11, 17)}
    truth |= {5: (3, 9, 2, 6, 18, 22), 6: (3, 9, 8, 12, 18, 22), 9: (4, 7, 16, 19, 20, 24)}
    found = {1: (2, 9, 7, 15, 2, 15), 2: (4, 9, 16, 22, 2, 9), 4: (5, 6, 25, 28, 2, 6)}
    found |= {5: (1, 13, 2, 6, 18, 22), 6: (3, 8, 8, 12, 18, 20), 9: (6, 10, 17, 20, 22, 27)}
    return volume(truth), volume(found)


def thin():
    """An oesophagus on a single slice, which the crop leaves out."""
    truth = {1: (2, 9, 2, 12, 2, 14), 10: (5, 6, 16, 20, 2, 6)}
    return volume(truth), volume({1: (2, 9, 2, 12, 2, 13), 10: (5, 6, 16, 20, 2, 6)})


def tools(kind):
    """A picture: tools side by side; one invented, one missed; or no background at all."""
    truth, found = np.zeros((2, 1, 24, 40), np.uint8)
    truth[0, 2:14, 3:15], found[0, 2:14, 6:18] = 1, 1
    truth[0, 16:22, 2:12], found[0, 16:22, 25:38] = 4, 6
    if kind == "covered":
        truth[truth == 0] = 2
        found[found == 0] = 2
    return truth, found


def nuclei():
    """Cells that are met, half met, at the border, invented and missed, and predicted interiors."""
    truth, classes = np.zeros((48, 48), np.int32), np.zeros((48, 48), np.uint8)
    boxes = [(0, 8, 10, 18), (12, 20, 4, 12), (12, 20, 20, 28), (26, 34, 4, 12), (26, 36, 20, 30)]
    for number, (y0, y1, x0, x1) in enumerate(boxes, start=1):
        truth[y0:y1, x0:x1] = number
    for y0, y1, x0, x1 in [
        (1, 8, 10, 18), (12, 20, 4, 12), (12, 20, 20, 24), (27, 33, 4, 7), (27, 35, 21, 30),
        (40, 47, 30, 38), (38, 42, 4, 9), (42, 46, 9, 14),
    ]:  # fmt: skip
        classes[y0:y1, x0:x1] = 1
    classes[13, 4:12] = 2
    return truth, classes


def scored(pair, protocol, labels=ORGANS, **fields):
    rules = Scoring(protocol=protocol, tolerances_mm=TOLERANCES, z_crop_labels=(5, 6, 10), **fields)
    return score("case", pair, labels, SPACING, rules)


def numbers(case, metric):
    return [getattr(one, metric) for one in case.labels]


BODY_DSC = [0.5357, 0.8, 0.0, 0.0, 1.0, 0.6667, 1.0, 1.0, 0.0833, 1.0, 1.0, 1.0, 1.0]
BODY_NSD = [0.8287, 1.0, 0.0, 0.0, 1.0, 0.816, 1.0, 1.0, 0.2811, 1.0, 1.0, 1.0, 1.0]
THIN_DSC = [0.9565, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, None, 1.0, 1.0, 1.0]


def test_abdomen_as_umambas_scripts_print_it():
    """abdomen_DSC_Eval.py and abdomen_NSD_Eval.py; NaN of the former is None."""
    case = scored(body(), "paper")
    assert numbers(case, "dice") == BODY_DSC
    assert numbers(case, "nsd") == BODY_NSD
    assert numbers(scored(thin(), "paper"), "dice") == THIN_DSC
    names = {label: str(label) for label in ORGANS}
    alone = summarise([case], names, protocol="paper")
    assert (alone.mean_dice, alone.mean_nsd) == pytest.approx((0.6989, 0.763523076923077))
    thin_alone = summarise([scored(thin(), "paper")], names, protocol="paper")
    assert thin_alone.mean_dice == pytest.approx(0.996375)


def test_the_mean_of_volumes_is_over_labels_of_their_means_over_cases():
    """What pandas makes of the table that the scripts write, where a value is missing."""
    names = {label: str(label) for label in ORGANS}
    cases = [scored(pair, "paper").model_copy(update={"id": str(pair[0].sum())})
             for pair in (body(), thin())]  # fmt: skip
    columns = zip(BODY_DSC, THIN_DSC, strict=True)
    means = [np.mean([value for value in column if value is not None]) for column in columns]
    assert summarise(cases, names, protocol="paper").mean_dice == pytest.approx(np.mean(means))
    assert not mean_over_labels("paper", picture=True)
    assert not mean_over_labels("strict", picture=False)


def test_abdomen_as_flares_script_prints_it():
    """T2andT3_FLARE24_DSC_NSD_Eval.py; the one of FLARE22 lacks the rule of low Dice."""
    case = scored(body(), "flare22")
    assert numbers(case, "dice") == BODY_DSC
    assert numbers(case, "nsd") == [0.0 if label == 9 else BODY_NSD[label - 1] for label in ORGANS]


def test_without_surfaces_no_protocol_invents_them():
    for protocol in ("strict", "paper", "flare22", "nnunet"):
        assert set(numbers(scored(body(), protocol, surfaces=False), "nsd")) == {None}


@pytest.mark.parametrize(
    ("kind", "dsc", "nsd"), [("plain", 0.25, 0.3154), ("covered", 0.2865, 0.3285)]
)
def test_pictures_as_umambas_scripts_print_them(kind, dsc, nsd):
    """endoscopy_DSC_Eval.py and endoscopy_NSD_Eval.py: the mean over what occurs, rounded."""
    rules = Scoring(protocol="paper", default_tolerance_mm=2)
    case = score("case", tools(kind), list(range(1, 8)), (1.0, 1.0, 1.0), rules)
    assert case.picture
    assert (case_mean(case, "dice", "paper"), case_mean(case, "nsd", "paper")) == (dsc, nsd)
    few = score("case", tools("plain"), [1, 4], (1.0, 1.0, 1.0), rules)
    assert few.undeclared == {6: 78}
    assert case_mean(few, "dice", "paper") == 0.25  # what is no label counts, too
    assert case_mean(few, "dice") == pytest.approx(0.375)


def test_the_mean_of_pictures_is_over_cases():
    rules = Scoring(protocol="paper", default_tolerance_mm=2)
    names = {label: str(label) for label in range(1, 8)}
    cases = [
        score(kind, tools(kind), list(names), (1.0, 1.0, 1.0), rules)
        for kind in ("plain", "covered")
    ]
    summary = summarise(cases, names, protocol="paper")
    assert (summary.mean_dice, summary.mean_nsd) == pytest.approx((0.26825, 0.32195))


def test_cells_as_umambas_script_prints_them():
    """compute_cell_metric.py: true_num, pred_num, TP, precision, recall and F1."""
    truth, classes = nuclei()
    (one,) = score_instances(truth, decode_paper(classes), rule="paper")
    assert (one.n_truth, one.n_prediction, one.tp) == (4, 6, 3)
    assert (one.precision, one.recall, one.f1) == pytest.approx((0.5, 0.75, 0.6))


def test_nnunets_summary_as_nnunet_writes_it():
    """compute_metrics_on_folder of nnunetv2 2.8.1; its NaN is null."""
    names = {label: str(label) for label in ORGANS}
    case = scored(body(), "nnunet")
    content = nnunet_summary([case], names, {"case": ("case.nii.gz", "case.nii.gz")})
    dice = {1: 15 / 28, 2: 0.8, 3: 0, 4: 0, 5: 2 / 3, 6: 10 / 17, 9: 1 / 12}
    for label in ORGANS:
        assert content["mean"][str(label)]["Dice"] == pytest.approx(dice.get(label))
    assert content["mean"]["2"] == pytest.approx(
        {"Dice": 0.8, "IoU": 2 / 3, "FP": 42, "TP": 168, "FN": 42, "TN": 14028, "n_pred": 210,
         "n_ref": 210}
    )  # fmt: skip
    everywhere = content["foreground_mean"]
    assert (everywhere["Dice"], everywhere["IoU"]) == (None, None)
    assert everywhere["n_pred"] == pytest.approx(95.53846153846153)
    assert everywhere["TN"] == pytest.approx(14131.076923076924)
    assert content["metric_per_case"][0]["prediction_file"] == "case.nii.gz"


def test_remarks_name_what_misleads():
    crop = Scoring(protocol="paper", z_crop_labels=(5,))
    assert "Labels 5" in remarks(crop, picture=False)[0]
    assert "mostly area" in remarks(crop, picture=True)[0]
    assert remarks(Scoring(z_crop_labels=(5,)), picture=False) == []
