"""Scored cases with figures that a test chooses."""

from collections.abc import Mapping, Sequence

import numpy as np

from segttt.config.report import CaseScore, CellScore, LabelScore

NAMES = {1: "liver", 2: "left kidney"}


def case(
    name: str,
    dice: Sequence[float | None],
    nsd: Sequence[float | None] | None = None,
    f1: float | None = None,
    n_truth: int = 10,
) -> CaseScore:
    """One case with a score for each of the labels 1, 2 ..., and with cells where `f1` is given."""
    labels = tuple(
        LabelScore(
            label=i + 1,
            state="both_empty" if value is None else "ok",
            tp=5,
            fp=0,
            fn=0,
            n_truth=n_truth,
            n_prediction=5,
            dice=value,
            iou=None,
            nsd=nsd[i] if nsd else None,
            tolerance_mm=1.0 if nsd else None,
        )
        for i, value in enumerate(dice)
    )
    cells = None if f1 is None else CellScore(
        threshold=0.5, n_truth=n_truth, n_prediction=5, tp=5, precision=f1, recall=f1, f1=f1, pq=f1
    )  # fmt: skip
    return CaseScore(id=name, labels=labels, cells=cells)


def cohort(scores: Sequence[Sequence[float | None]], **more: float) -> list[CaseScore]:
    """case_00, case_01 ... with their Dice per label."""
    return [case(f"case_{i:02d}", dice, **more) for i, dice in enumerate(scores)]


def drawn(seed: int, n: int = 20, shift: float = 0.0, noise: float = 0.02) -> list[CaseScore]:
    """`n` cases of two labels: difficulties that all cohorts share, a shift, noise of the seed."""
    difficulty = np.random.default_rng(7).uniform(0.6, 0.9, (n, 2))
    own = np.random.default_rng(seed).normal(shift, noise, (n, 2))
    return cohort(np.clip(difficulty + own, 0, 1).tolist())


def by_pair(differences: Sequence) -> Mapping[frozenset[str], object]:
    """Differences by their two models, whatever the order."""
    return {frozenset((one.model, one.other)): one for one in differences}
