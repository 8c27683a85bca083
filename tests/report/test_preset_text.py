import pytest

from segttt.config import preset as presets
from segttt.config.preset import Preset
from segttt.report.preset_text import rows

NAMES = presets.names()


def section(name, title) -> dict[str, str]:
    return dict(dict(rows(presets.load(name)))[title])


def test_units_are_spelled_out():
    data = section("flare22", "Data")
    assert data["spacing"].startswith("2.5 x 0.8 x 0.8 (z, y, x), mm (inferred: Not printed.")
    assert section("endovis17", "Data")["spacing"] == "1 x 1 (y, x), pixels"
    window = section("flare22", "Window and stages")
    assert window["window"] == "40 x 224 x 192 (z, y, x), voxels"
    assert window["halvings"] == "3 x 5 x 5 (z, y, x)"
    assert window["batch"] == "2 samples"
    assert window["Dice loss"].startswith("pooled over the batch (inferred: ")
    assert section("endovis17", "Evaluation")["surface tolerance"] == "2 pixels"
    assert section("flare22", "Evaluation")["surface tolerance"].startswith("liver 5 mm, right_")


def test_training_in_words():
    training = section("amos22-ct", "Training")
    assert training["optimiser"] == "SGD, momentum 0.99, Nesterov"
    assert training["learning rate"] == "0.001"
    assert training["schedule"] == "poly, per epoch, exponent 0.9"
    assert training["length"] == "1000 epochs of 250 steps, 50 validation batches each"
    assert training["deep supervision"] == "4/7, 2/7 and 1/7 for the three largest scales"
    laptop = section("laptop", "Training")
    assert laptop["optimiser"] == "AdamW"
    assert laptop["schedule"] == "cosine, per iteration, after a rise over 5% of the training"


def test_what_is_planned_says_so():
    window = section("laptop", "Window and stages")
    assert window["window"] == "planned from the data, at most 100,000 voxels"
    assert section("laptop", "Data")["spacing"] == "planned from the data"
    assert "Reported figures" not in dict(rows(presets.load("laptop")))


def test_figures_of_a_model_share_a_line():
    figures = section("flare22", "Reported figures")
    assert figures["ttt-unet-bot"] == (
        "dsc 0.8709 ± 0.1011, nsd 0.8995 ± 0.0721 [TTT-UNet (arXiv 2409.11299), Table 4]"
    )
    organs = dict(rows(presets.load("amos22-ct")))["Reported figures"]
    first = next(value for name, value in organs if name == "mm-unet")
    assert first.startswith("dsc/spleen 0.9730, dsc/right_kidney 0.9700")
    assert first.endswith("dsc 0.9100 [MM-UNet (arXiv 2503.17540), Table 2]")


@pytest.mark.parametrize("name", NAMES)
def test_every_reason_and_note_is_told_once(name):
    preset = presets.load(name)
    text = [value for _, lines in rows(preset) for _, value in lines]
    for reason in preset.inferred.values():
        assert sum(reason in value for value in text) == 1
    for note in preset.notes:
        assert text.count(note) == 1


def test_options_and_fallbacks():
    preset = Preset(
        name="p", title="mine", rank=2, network_options={"heads": 4}, evaluate={"iou": 0.7}
    )
    told = dict(rows(preset))
    assert ("network", "ttt-unet-bot with heads 4") in told["Preset"]
    assert ("works on", "slices or pictures (2D)") in told["Preset"]
    assert ("overlap of a found object", "IoU 0.7") in told["Evaluation"]
    assert ("dataset", "any") in told["Data"]
