"""The overlay picture: the right planes, the right pixels."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from segttt.report.overlay import overlay_png
from segttt.report.style import PALETTE, colour

NAMES = {3: "liver", 8: "spleen"}


def picture(*args, **kwargs):
    return imread(BytesIO(overlay_png(*args, **kwargs)))[..., :3]


def box(shape, *slices, value=3):
    labels = np.zeros(shape, np.uint8)
    labels[slices] = value
    return labels


def near(pixels, name):
    """Pixels about the pure colour of a label, as its outline is."""
    return np.abs(pixels - to_rgb(name)).max(-1) < 0.08


def halves(pixels):
    """Truth above, prediction below, without headline and legend."""
    height = pixels.shape[0]
    return pixels[int(0.06 * height) : height // 2], pixels[height // 2 : int(0.93 * height)]


SCAN = (12, 30, 40)
IMAGE = np.random.default_rng(0).normal(0, 1, SCAN).astype(np.float32)
CUBE = box(SCAN, slice(3, 9), slice(8, 20), slice(10, 30))


def test_same_case_same_bytes():
    assert overlay_png(IMAGE, CUBE, CUBE, NAMES) == overlay_png(IMAGE, CUBE, CUBE, NAMES)


def test_label_is_outlined_on_all_three_planes_of_its_row_only():
    above, below = halves(picture(IMAGE, CUBE, CUBE * 0, NAMES))
    thirds = np.array_split(near(above, PALETTE[0]), 3, axis=1)
    assert all(part.sum() > 100 for part in thirds)
    assert near(below, PALETTE[0]).sum() == 0


def test_colour_goes_by_position_in_the_list():
    above, _ = halves(picture(IMAGE, np.where(CUBE, 8, 0), CUBE, NAMES))
    assert near(above, PALETTE[1]).sum() > 300
    assert near(above, PALETTE[0]).sum() == 0


def test_planes_go_through_the_label():
    corner = box(SCAN, slice(10, 12), slice(26, 30), slice(36, 40))
    above, _ = halves(picture(IMAGE, corner, corner * 0, NAMES))
    thirds = np.array_split(near(above, PALETTE[0]), 3, axis=1)
    assert all(part.any() for part in thirds)
    rows, columns = np.nonzero(thirds[0])
    assert rows.mean() > 0.8 * above.shape[0] * 0.8  # posterior is at the bottom
    assert columns.mean() > 0.6 * thirds[0].shape[1]  # left of the patient is at the right
    rows, _ = np.nonzero(thirds[1])
    assert rows.mean() < 0.35 * above.shape[0]  # superior is at the top


def test_without_truth_the_planes_follow_the_prediction():
    _, below = halves(picture(IMAGE, CUBE * 0, CUBE, NAMES))
    assert near(below, PALETTE[0]).sum() > 300


def test_spacing_sets_the_proportions():
    def proportions(spacing):
        pixels = near(
            halves(picture(IMAGE, CUBE, CUBE * 0, NAMES, spacing_mm=spacing))[0], PALETTE[0]
        )
        coronal = pixels[:, pixels.shape[1] // 3 : 2 * pixels.shape[1] // 3]
        return np.ptp(np.nonzero(coronal.any(1))[0]) / np.ptp(np.nonzero(coronal.any(0))[0])

    # 6 slices by 20 columns
    assert proportions((2.0, 1.0, 1.0)) == pytest.approx(12 / 20, rel=0.08)
    assert proportions((3.0, 1.0, 1.0)) == pytest.approx(18 / 20, rel=0.08)


def test_one_slice_has_one_column_and_its_colours():
    rgb = np.zeros((3, 1, 40, 40), np.float32)
    rgb[0] = 1.0  # red everywhere, but for a black corner
    rgb[:, :, :5, :5] = 0
    nothing = np.zeros((1, 40, 40), np.int16)
    pixels = picture(rgb, nothing, nothing, NAMES)
    assert pixels.shape[0] > 1.8 * pixels.shape[1]
    red = np.abs(pixels - (1, 0, 0)).max(-1) < 0.02
    assert red.mean() > 0.6


def test_first_of_several_channels_is_drawn():
    two = np.stack([IMAGE, IMAGE[::-1]])
    assert overlay_png(two, CUBE, CUBE, NAMES) == overlay_png(IMAGE, CUBE, CUBE, NAMES)


@pytest.mark.parametrize("image", [np.zeros(SCAN, np.int16), np.full(SCAN, 7.0, np.float32)])
def test_flat_image_and_no_label_at_all(image):
    assert picture(image, CUBE * 0, CUBE * 0, NAMES).ndim == 3


def test_many_labels_have_many_colours():
    names = {value: f"structure {value}" for value in range(1, 41)}
    assert len({colour(i) for i in range(60)}) == 60
    pixels = picture(IMAGE, CUBE, CUBE, names)
    assert pixels.shape[0] > picture(IMAGE, CUBE, CUBE, NAMES).shape[0]
