import pytest

from segttt.config.preset import Preset
from segttt.errors import UsageError
from segttt.planning.normalisation import normalisations


@pytest.mark.parametrize(
    ("channel", "scheme"),
    [
        ("CT", "ct"),
        ("ct", "ct"),
        ("MR", "zscore"),
        ("T1w", "zscore"),
        ("noNorm", "none"),
        ("zScore", "zscore"),
        ("rescale_to_0_1", "rescale_to_0_1"),
        ("RGB_to_0_1", "rgb_to_0_1"),
    ],
)
def test_scheme_by_channel_name(channel, scheme, dataset, fingerprint):
    facts = fingerprint((9, 9, 9), (1.0,) * 3)
    [found] = normalisations(dataset(channels=(channel,)), facts, None)
    assert found.scheme == scheme
    assert not found.masked


def test_ct_takes_its_numbers_from_the_foreground(dataset, fingerprint):
    [found] = normalisations(dataset(), fingerprint((9, 9, 9), (1.0,) * 3), None)
    assert (found.clip, found.mean, found.std) == ((-100.0, 250.0), 60.0, 30.0)


def test_a_constant_foreground_does_not_divide_by_zero(dataset, fingerprint):
    facts = fingerprint((9, 9, 9), (1.0,) * 3)
    flat = facts.channels[0].model_copy(update={"std": 0.0})
    [found] = normalisations(dataset(), facts.model_copy(update={"channels": (flat,)}), None)
    assert found.std == 1e-8


@pytest.mark.parametrize(("relative_size", "masked"), [(0.74, True), (0.75, False)])
def test_zscores_are_masked_where_cropping_removes_a_quarter(
    relative_size, masked, dataset, fingerprint
):
    facts = fingerprint((9, 9, 9), (1.0,) * 3, channels=2, relative_size=relative_size)
    mr, ct = normalisations(dataset(channels=("MR", "CT")), facts, None)
    assert mr.masked is masked
    assert not ct.masked


def test_a_preset_fixes_the_scheme(dataset, fingerprint):
    facts = fingerprint((9, 9, 9), (1.0,) * 3, channels=2)
    two = Preset(name="two", title="", normalisation=("ct", "none"))
    pair = normalisations(dataset(channels=("MR", "T2")), facts, two)
    assert [one.scheme for one in pair] == ["ct", "none"]
    assert pair[0].clip == (-100.0, 250.0)


def test_equal_schemes_suit_any_number_of_channels(dataset, fingerprint):
    colours = Preset(name="rgb", title="", normalisation=("zscore",) * 3)
    gray = normalisations(dataset(channels=("gray",)), fingerprint((1, 9, 9), (1.0,) * 3), colours)
    assert [one.scheme for one in gray] == ["zscore"]


def test_other_numbers_of_channels_are_refused(dataset, fingerprint):
    two = Preset(name="two", title="", normalisation=("ct", "none"))
    with pytest.raises(UsageError, match=r"'two' normalises 2 channels, but Toy has 1 \(CT\)"):
        normalisations(dataset(), fingerprint((9, 9, 9), (1.0,) * 3), two)
