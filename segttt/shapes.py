"""The legend of axes. Every tensor and array of segttt is ordered (b, c, z, y, x).

b  samples of a batch          c  channels of an image or features of a network
k  classes, background first   z, y, x  the canonical axes, slowest first; a picture is one slice
n  tokens of a sequence        h  heads                d  width of one head

`*grid` stands for the spatial axes, (z, y, x) in 3D and (y, x) in 2D.
"""

Shape3 = tuple[int, int, int]
"""Voxels along (z, y, x)."""
Triple = tuple[float, float, float]
"""Numbers along (z, y, x), or a point (left, posterior, superior) in mm."""
