"""segttt: medical image segmentation with test-time-training and state-space U-Nets."""

from importlib.metadata import version

__version__ = version("segttt")
