"""Synthetic datasets and fingerprints."""

from collections.abc import Callable

import pytest

from segttt.config.dataset import CaseFiles, Dataset
from segttt.config.fingerprint import CaseFacts, ChannelFacts, Fingerprint

CHANNEL = ChannelFacts(
    mean=60.0,
    median=55.0,
    std=30.0,
    min=-900.0,
    max=2000.0,
    percentile_00_5=-100.0,
    percentile_99_5=250.0,
)


@pytest.fixture
def fingerprint() -> Callable[..., Fingerprint]:
    """Make a fingerprint of `cases` equal cases."""

    def make(shape, spacing_mm, *, cases=10, channels=1, relative_size=1.0) -> Fingerprint:
        facts = [
            CaseFacts(
                id=f"case_{index:03d}",
                shape=shape,
                full_shape=shape,
                spacing_mm=spacing_mm,
                relative_size=relative_size,
            )
            for index in range(cases)
        ]
        return Fingerprint(
            cases=tuple(facts), channels=(CHANNEL,) * channels, class_voxels={"organ": 5}
        )

    return make


@pytest.fixture
def dataset() -> Callable[..., Dataset]:
    """Make a dataset without files."""

    def make(channels=("CT",), labels=None, **more) -> Dataset:
        cases = tuple(CaseFiles(id=f"case_{index:03d}", images=("x",)) for index in range(10))
        chosen = {1: "organ"} if labels is None else labels
        return Dataset(
            name="Toy", layout="plain", channels=channels, labels=chosen, cases=cases, **more
        )

    return make
