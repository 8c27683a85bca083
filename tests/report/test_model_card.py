"""The model card: the right figures, and nothing that Markdown could take for its own."""

from dataclasses import replace

import pytest

from segttt.config.dataset import CaseFiles, Dataset
from segttt.config.report import CaseScore
from segttt.metrics.overlap import score_case
from segttt.metrics.summary import summarise
from segttt.report.model_card import LICENCE, Facts, Training, duration, model_card
from tests.browser import specimen

TRAINING = Training(
    fold="0", seed=3, epochs=42, seconds=5400.0, device="cuda", precision="bfloat16",
    n_training=90, n_validation=22, peak_bytes=3 * 2**30, segttt="0.1.0", torch="2.13.0",
    sha256="ab" * 32,
)  # fmt: skip


def scores(n=8) -> list[CaseScore]:
    pairs = (specimen.anatomy(i)[1:] for i in range(n))
    return [score_case(f"secret_{i}", *pair, [1, 4]) for i, pair in enumerate(pairs)]


def facts(**changes) -> Facts:
    cases = tuple(CaseFiles(id=f"secret_{i}", images=(f"/home/me/{i}.nii",)) for i in range(3))
    dataset = Dataset(name="Toy", layout="plain", channels=("MR",), labels={}, cases=cases)
    made = Facts(
        plan=specimen.plan(3),
        dataset="Toy",
        fingerprint=specimen.fingerprint(dataset, 3),
        parameters=1234567,
        trainings=(TRAINING,),
        summary=summarise(scores(), specimen.NAMES),
        scored_on="held out from the training",
    )
    return replace(made, **changes)


def test_it_says_what_the_model_was_made_from():
    text = model_card(facts()).markdown()
    for words in (
        "# Model card: ttt-unet-bot for Toy",
        "- parameters: 1,234,567",
        "- fold 0, seed 3: 90 cases",
        "- cases in the dataset: 3",
        "- spacing (z, y, x), median: 2 × 1 × 1 mm",
        "42 epochs in 90.0 minutes on cuda in bfloat16, at most 3.0 GiB",
        f"- SHA-256, fold 0, seed 3: {'ab' * 32}",
        "Protocol strict, 8 cases (held out from the training).",
        LICENCE,
    ):
        assert words in text


def test_the_scores_are_those_of_the_summary():
    made = facts()
    text = model_card(made).markdown()
    low, _ = made.summary.ci95
    assert f"Mean Dice {made.summary.mean_dice:.3f} (95 % confidence interval {low:.3f}" in text
    first = made.summary.per_label[0]
    row = next(line for line in text.splitlines() if line.startswith("| front"))
    assert f"| 8 | {first.dice.mean:.3f} | {first.dice.sd:.3f} |" in row


def test_no_case_is_named_and_no_folder():
    text = model_card(facts()).markdown()
    assert "secret" not in text
    assert "/home" not in text


def test_names_are_no_markup():
    text = model_card(facts(dataset="<script>|*x*`")).markdown()
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\\<script\\>\\|\\*x\\*\\`" in text
    assert "front \\<b\\>lobe" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trainings": (replace(TRAINING, fold="all"),)}, "so what its own training validated on"),
        ({"trainings": (TRAINING, replace(TRAINING, seed=4))}, "2 trainings, by their logits"),
        ({"parameters": None}, "- parameters: not known"),
        ({"fingerprint": None}, "- spacing of the network: 2 × 1 × 1 mm"),
        ({"summary": summarise(scores(3), specimen.NAMES, n_failed=2)}, "2 cases have no score"),
    ],
)
def test_limits_follow_the_facts(change, words):
    assert words in model_card(facts(**change)).markdown()
    assert words not in model_card(facts()).markdown() or "fingerprint" in change


def test_equal_facts_give_an_equal_card():
    assert model_card(facts()) == model_card(facts())


@pytest.mark.parametrize(
    ("seconds", "words"), [(90, "90 seconds"), (600, "10.0 minutes"), (9000, "2.5 hours")]
)
def test_durations(seconds, words):
    assert duration(float(seconds)) == words
