"""Numbered objects to interior and boundary."""

import numpy as np

from segttt.preprocessing.instances import interior_and_boundary


def test_a_square():
    objects = np.zeros((1, 14, 14), np.int32)
    objects[0, 2:12, 2:12] = 5
    classes = interior_and_boundary(objects)[0]
    assert classes.dtype == np.int16
    expected = np.zeros((14, 14), int)
    expected[2:12, 1:13] = 2  # the rim of the square, widened by one pixel in four directions
    expected[1:13, 2:12] = 2
    expected[4:10, 4:10] = 1
    np.testing.assert_array_equal(classes, expected)


def test_touching_objects_are_parted():
    objects = np.zeros((1, 20, 40), np.int32)
    objects[0, 2:18, 2:20] = 1
    objects[0, 2:18, 20:38] = 2
    classes = interior_and_boundary(objects)[0]
    assert (classes[4:16, 18:22] == 2).all()
    assert (classes[8, [10, 30]] == 1).all()


def test_a_small_interior_is_dropped():
    objects = np.zeros((1, 20, 20), np.int32)
    objects[0, 1:8, 1:8] = 1  # leaves 3 x 3 = 9 pixels of interior
    objects[0, 9:19, 9:19] = 2  # leaves 6 x 6
    classes = interior_and_boundary(objects)[0]
    assert (classes == 1).sum() == 36
    assert classes[4, 4] == 0
    assert classes[1, 1] == 2


def test_slices_are_independent_and_empty_stays_empty():
    objects = np.zeros((3, 12, 12), np.int32)
    objects[1, 2:10, 2:10] = 1
    classes = interior_and_boundary(objects)
    assert not classes[[0, 2]].any()
    np.testing.assert_array_equal(classes[1], interior_and_boundary(objects[1:2])[0])
