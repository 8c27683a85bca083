"""A small abdomen as a table of ellipsoids, for the phantom cohort.

Places and radii are (z, y, x) in units of the body's half height, half depth and half width; the
axes run to superior, posterior and left. Later shapes paint over earlier ones.
"""

from dataclasses import dataclass, replace

import numpy as np

from segttt.shapes import Triple

LABELS = {1: "liver", 2: "spleen", 3: "left kidney", 4: "right kidney", 5: "aorta"}
AIR_HU = -1000.0
ENDLESS = 9.0  # half height of what runs through the whole field of view


@dataclass(frozen=True)
class Ellipsoid:
    """One tissue; `label` 0 is background."""

    hu: float
    centre: Triple
    radii: Triple
    label: int = 0
    tilt_deg: float = 0.0
    """Rotation from z towards x."""


WALL = (
    Ellipsoid(30.0, (0.0, 0.0, 0.0), (ENDLESS, 1.0, 1.0)),
    Ellipsoid(-100.0, (0.0, 0.0, 0.0), (ENDLESS, 0.96, 0.97)),
    Ellipsoid(58.0, (0.0, 0.02, 0.0), (ENDLESS, 0.85, 0.89)),
    Ellipsoid(-95.0, (0.0, -0.08, 0.0), (ENDLESS, 0.70, 0.80)),
)
BACK = (
    Ellipsoid(60.0, (-0.6, 0.50, 0.26), (1.1, 0.15, 0.10), tilt_deg=-6.0),
    Ellipsoid(60.0, (-0.6, 0.50, -0.26), (1.1, 0.15, 0.10), tilt_deg=6.0),
    Ellipsoid(230.0, (0.0, 0.52, 0.0), (ENDLESS, 0.17, 0.165)),
    *(Ellipsoid(75.0, (z, 0.52, 0.0), (0.07, 0.19, 0.18)) for z in (-0.9, -0.3, 0.3, 0.9)),
    Ellipsoid(200.0, (0.0, 0.80, 0.0), (ENDLESS, 0.12, 0.035)),
    Ellipsoid(25.0, (0.0, 0.735, 0.0), (ENDLESS, 0.06, 0.07)),
)
LUNGS = (
    Ellipsoid(-840.0, (1.25, 0.10, -0.42), (0.55, 0.50, 0.34)),
    Ellipsoid(-840.0, (1.25, 0.10, 0.44), (0.50, 0.50, 0.32)),
)
STOMACH = (
    Ellipsoid(70.0, (0.35, -0.30, 0.36), (0.50, 0.30, 0.24), tilt_deg=20.0),
    Ellipsoid(20.0, (0.35, -0.28, 0.36), (0.44, 0.26, 0.20), tilt_deg=20.0),
    Ellipsoid(-900.0, (0.38, -0.44, 0.37), (0.28, 0.10, 0.14), tilt_deg=20.0),
)
CAVA = Ellipsoid(175.0, (0.0, 0.26, -0.13), (ENDLESS, 0.085, 0.09))
ORGANS = (
    Ellipsoid(310.0, (0.0, 0.23, 0.11), (ENDLESS, 0.115, 0.10), label=5),
    Ellipsoid(90.0, (0.42, -0.08, -0.44), (0.60, 0.50, 0.32), label=1),
    Ellipsoid(90.0, (0.46, -0.36, -0.08), (0.36, 0.26, 0.34), label=1),
    Ellipsoid(130.0, (0.44, -0.12, -0.40), (0.30, 0.045, 0.045), label=1, tilt_deg=35.0),
    Ellipsoid(130.0, (0.48, -0.02, -0.42), (0.045, 0.22, 0.04), label=1),
    Ellipsoid(130.0, (0.46, -0.30, -0.18), (0.045, 0.05, 0.20), label=1, tilt_deg=-15.0),
    Ellipsoid(185.0, (0.45, 0.22, 0.58), (0.48, 0.40, 0.21), label=2, tilt_deg=12.0),
    Ellipsoid(235.0, (-0.25, 0.34, 0.46), (0.50, 0.23, 0.18), label=3, tilt_deg=-8.0),
    Ellipsoid(235.0, (-0.45, 0.34, -0.46), (0.50, 0.23, 0.18), label=4, tilt_deg=8.0),
)
KIDNEY_INSIDE = ((0.6, 0.55, 0.55), 210.0)  # share of the radii, HU of the medulla
HILUM = (0.13, (0.22, 0.09, 0.07), -80.0)  # towards the spine, radii, HU of the fat


def abdomen(rng: np.random.Generator) -> tuple[Ellipsoid, ...]:
    """The tissues of one patient: the same organs, moved, stretched, tilted and enhanced."""
    enhancement_hu = np.clip(rng.normal(0, 6, len(LABELS) + 1), -12, 12)
    organs = [
        replace(_varied(rng, organ), hu=organ.hu + float(enhancement_hu[organ.label]))
        for organ in ORGANS
    ]
    kidneys = [part for organ in organs if organ.label in (3, 4) for part in _inside(organ)]
    return (
        *WALL,
        *_ribs(rng),
        *(_varied(rng, lung) for lung in LUNGS),
        *BACK,
        *_bowel(rng),
        *STOMACH,
        _varied(rng, CAVA),
        *organs,
        *kidneys,
    )


def _varied(rng: np.random.Generator, shape: Ellipsoid) -> Ellipsoid:
    shift, stretch = rng.normal(0, 0.025, 3), np.exp(rng.normal(0, 0.07, 3))
    z, y, x = np.add(shape.centre, np.clip(shift, -0.05, 0.05))
    rz, ry, rx = np.multiply(shape.radii, np.clip(stretch, 0.85, 1.15))
    return replace(
        shape,
        centre=(float(z), float(y), float(x)),
        radii=(float(rz), float(ry), float(rx)),
        tilt_deg=shape.tilt_deg + (0 if rz > 2 else float(rng.uniform(-6, 6))),
    )


def _inside(kidney: Ellipsoid) -> tuple[Ellipsoid, Ellipsoid]:
    """Medulla, part of the organ, and the fat of the hilum, not part of it."""
    shares, medulla_hu = KIDNEY_INSIDE
    offset, radii, fat_hu = HILUM
    z, y, x = kidney.centre
    rz, ry, rx = np.multiply(kidney.radii, shares)
    medulla = replace(kidney, hu=medulla_hu, radii=(float(rz), float(ry), float(rx)))
    hilum = replace(
        kidney,
        hu=fat_hu,
        label=0,
        radii=radii,
        centre=(z, y - 0.03, x - float(np.sign(x)) * offset),
    )
    return medulla, hilum


def _ribs(rng: np.random.Generator) -> list[Ellipsoid]:
    angles = np.concatenate([np.linspace(-0.6, 0.7, 5), np.pi + np.linspace(-0.7, 0.6, 5)])
    heights = rng.uniform(-0.3, 0.9, angles.size)
    return [
        Ellipsoid(
            260.0,
            (float(h), 0.02 + 0.78 * float(np.sin(a)), 0.84 * float(np.cos(a))),
            (0.35, 0.10, 0.035),
        )
        for a, h in zip(angles, heights, strict=True)
    ]


def _bowel(rng: np.random.Generator) -> list[Ellipsoid]:
    """Loops in the lower front, as bright as organs; every third one holds gas."""
    loops = []
    for number in range(10):
        z, y, x = rng.uniform((-1.0, -0.62, -0.62), (-0.05, 0.05, 0.62))
        rz, ry, rx = rng.uniform((0.15, 0.10, 0.10), (0.32, 0.17, 0.20))
        loop = Ellipsoid(float(rng.uniform(0, 100)), (z, y, x), (rz, ry, rx))
        loops.append(loop)
        if number % 3 == 0:
            gas = (0.6 * rz, 0.4 * ry, 0.7 * rx)
            loops.append(replace(loop, hu=-850.0, centre=(z, y - 0.4 * ry, x), radii=gas))
    return loops
