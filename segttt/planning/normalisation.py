"""Normalisation of each channel: scheme by its name or the preset, numbers from the data."""

from statistics import median

from segttt.config.dataset import Dataset
from segttt.config.fingerprint import ChannelFacts, Fingerprint
from segttt.config.plan import Normalisation, Scheme
from segttt.config.preset import Preset
from segttt.errors import UsageError

SCHEMES: dict[str, Scheme] = {
    "ct": "ct",
    "nonorm": "none",
    "zscore": "zscore",
    "rescale_to_0_1": "rescale_to_0_1",
    "rgb_to_0_1": "rgb_to_0_1",
}
"""By channel name in lower case, as nnU-Net; any other channel is z-scored."""
MASKED_BELOW = 0.75
"""Cropping that keeps less than this share of the voxels means a background cut to zero."""


def normalisations(
    dataset: Dataset, fingerprint: Fingerprint, preset: Preset | None
) -> tuple[Normalisation, ...]:
    """One record per channel of the dataset.

    ct takes its window (0.5th to 99.5th percentile), mean and deviation from the foreground of
    the training cases, even where a preset fixes the scheme.
    """
    kept = median(case.relative_size for case in fingerprint.cases)
    return tuple(
        _normalisation(scheme, facts, masked=kept < MASKED_BELOW)
        for scheme, facts in zip(_schemes(dataset, preset), fingerprint.channels, strict=True)
    )


def _schemes(dataset: Dataset, preset: Preset | None) -> tuple[Scheme, ...]:
    if preset is None or preset.normalisation is None:
        return tuple(SCHEMES.get(name.lower(), "zscore") for name in dataset.channels)
    fixed = preset.normalisation
    if len(fixed) == len(dataset.channels):
        return fixed
    if len(set(fixed)) == 1:
        return fixed[:1] * len(dataset.channels)
    raise UsageError(
        f"Preset '{preset.name}' normalises {len(fixed)} channels, but {dataset.name} has "
        f"{len(dataset.channels)} ({', '.join(dataset.channels)}). Choose another preset."
    )


def _normalisation(scheme: Scheme, facts: ChannelFacts, *, masked: bool) -> Normalisation:
    if scheme == "ct":
        return Normalisation(
            scheme="ct",
            clip=(facts.percentile_00_5, facts.percentile_99_5),
            mean=facts.mean,
            std=max(facts.std, 1e-8),
        )
    return Normalisation(scheme=scheme, masked=masked and scheme == "zscore")
