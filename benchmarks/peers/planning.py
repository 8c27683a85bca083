"""Parity of fingerprints and plans."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from benchmarks.peers import datasets
from benchmarks.peers.datasets import Raw
from benchmarks.peers.peer import Peer
from benchmarks.peers.rows import Row, relative
from segttt.config.dataset import Dataset
from segttt.config.fingerprint import CaseFacts, ChannelFacts, Fingerprint
from segttt.config.plan import Plan
from segttt.io.check import case_of
from segttt.io.layouts.read import read_dataset
from segttt.io.volumes import read_volume
from segttt.networks.table import spec
from segttt.planning.fingerprint import CaseSample, case_sample, merge
from segttt.planning.planner import make_plan

VOXELS = 10_000_000
"""That nnU-Net draws here; its own 100 million would shrink the error by three."""
FEW_VOXELS = 20_000
STATISTICS = ("mean", "median", "std", "min", "max", "percentile_00_5", "percentile_99_5")
SCHEMES = {"ct": "CTNormalization", "zscore": "ZScoreNormalization"}
MADE_UP = 24


@dataclass(frozen=True)
class Known:
    """A dataset, its cases as both programs read them, and nnU-Net's fingerprint and plans."""

    raw: Raw
    dataset: Dataset
    samples: tuple[CaseSample, ...]
    theirs: dict[str, Any]
    plans: dict[str, Any]

    @property
    def facts(self) -> Fingerprint:
        """Our geometry with nnU-Net's intensities, so that no sampling separates what follows."""
        channels = tuple(
            ChannelFacts(**{name: one[name] for name in STATISTICS})
            for one in self.theirs["channels"]
        )
        return merge(self.samples).model_copy(update={"channels": channels})

    def plan(self, dims: Literal[2, 3], network: str = "nnunet") -> Plan:
        """Our plan."""
        return make_plan(
            self.dataset, self.facts, preset=None, network=spec(network), planner="v2.8", dims=dims
        )


def know(peer: Peer, raws: Sequence[Raw]) -> tuple[list[Known], list[Row]]:
    """Fingerprint and plan every dataset in both programs, and compare."""
    known, rows = [], []
    for raw in raws:
        dataset, _ = read_dataset(raw.folder)
        samples = tuple(
            case_sample(read_volume(case_of(files), None), dataset, total_cases=len(dataset.cases))
            for files in dataset.cases
        )
        rows.append(_same_voxels(peer, raw, samples))
        settings = {"dataset": raw.name, "voxels": VOXELS, "return_voxels": False}
        theirs, _ = peer.run("fingerprint", settings)
        rows += [_geometry(raw, samples, theirs), _statistics(raw, samples, theirs)]
        known.append(Known(raw, dataset, samples, theirs, {}))
    planned = _planned(peer, known)
    return planned, [*rows, *_plan_rows(planned), *_made_up(peer)]


def _geometry(raw: Raw, samples: Sequence[CaseSample], theirs: dict) -> Row:
    ours = [(*one.facts.shape, *one.facts.spacing_mm) for one in samples]
    found = [(*a, *b) for a, b in zip(theirs["shapes"], theirs["spacings"], strict=True)]
    size = float(np.median([one.facts.relative_size for one in samples]))
    difference = max(relative(ours, found), relative([size], [theirs["relative_size"]]))
    return Row("fingerprint: shapes after crop, spacings", raw.title, difference, 1e-6)


def _same_voxels(peer: Peer, raw: Raw, samples: Sequence[CaseSample]) -> Row:
    """Statistics of the voxels that nnU-Net drew, computed by both."""
    settings = {"dataset": raw.name, "voxels": FEW_VOXELS, "return_voxels": True}
    theirs, drawn = peer.run("fingerprint", settings)
    same = [replace(one, intensities=np.float32(drawn[one.facts.id])) for one in samples]
    differences = [
        relative([getattr(ours, name) for name in STATISTICS], [his[name] for name in STATISTICS])
        for ours, his in zip(merge(same).channels, theirs["channels"], strict=True)
    ]
    title = "fingerprint: statistics of the same voxels"
    return Row(title, raw.title, max(differences), 1e-5, "relative; nnU-Net adds up in float32")


def _statistics(raw: Raw, samples: Sequence[CaseSample], theirs: dict) -> Row:
    """The worst statistic in standard errors of nnU-Net's draw."""
    weights = np.concatenate([np.full(one.intensities.shape[1], 1 / one.intensities.shape[1])
                              for one in samples])  # fmt: skip
    values = np.concatenate([one.intensities for one in samples], axis=1)
    worst = 0.0
    for channel, his in zip(values, theirs["channels"], strict=True):
        worst = max(worst, _errors(channel.astype(np.float64), weights / weights.sum(), his))
    note = "in standard errors; segttt uses up to 100,000 voxels per case, each once"
    return Row("fingerprint: statistics, drawn apart", raw.title, worst, 4.0, note)


def _errors(values: np.ndarray, weights: np.ndarray, his: dict[str, float]) -> float:
    mean = float(values @ weights)
    central = [float((values - mean) ** power @ weights) for power in (2, 4)]
    deviation = central[0] ** 0.5
    error_of_deviation = ((central[1] - central[0] ** 2) / VOXELS) ** 0.5 / (2 * deviation)
    found = [
        abs(mean - his["mean"]) / (deviation / VOXELS**0.5 + 1e-6 * deviation),
        abs(deviation - his["std"]) / (error_of_deviation + 1e-6 * deviation),
    ]
    for name, share in (("percentile_00_5", 0.005), ("median", 0.5), ("percentile_99_5", 0.995)):
        below, upto = (float(weights[test].sum()) for test in (
            values < his[name] - 1e-6 * deviation, values <= his[name] + 1e-6 * deviation
        ))  # fmt: skip
        # Where many voxels share a value, the share is a range, and its nearest end counts.
        away = max(below - share, share - upto, 0.0)
        found.append(away / (share * (1 - share) / VOXELS) ** 0.5)
    return max(found)


def _planned(peer: Peer, known: Sequence[Known]) -> list[Known]:
    jobs = [
        {"dataset": one.raw.name, "planner": planner, "name": f"{one.raw.name}-{planner}",
         "spacing": None}
        for one in known for planner in ("plain", "resenc-m")
    ]  # fmt: skip
    plans, _ = peer.run("plan", {"jobs": jobs})
    return [
        replace(one, plans={p: plans[f"{one.raw.name}-{p}"] for p in ("plain", "resenc-m")})
        for one in known
    ]


def _plan_rows(known: Sequence[Known]) -> list[Row]:
    rows = []
    for one in known:
        for planner, network in (("plain", "nnunet"), ("resenc-m", "nnunet-resenc")):
            for dims, name in ((2, "2d"), (3, "3d_fullres")):
                wrong = differing(one.plan(dims, network), one.plans[planner], name)
                title = f"plan {name}, {planner}: fields that differ"
                rows.append(Row(title, one.raw.title, len(wrong), 0, ", ".join(wrong)))
    return rows


def differing(ours: Plan, theirs: dict[str, Any], name: str) -> list[str]:
    """Names of the fields in which our plan and a configuration of nnU-Net's plans differ."""
    his = theirs["configurations"][name]
    built = his["architecture"]["arch_kwargs"]
    topology, rank = ours.topology, ours.topology.rank
    pairs = {
        "axes": (ours.axes, theirs["transpose_forward"]),
        "patch": (topology.patch, his["patch_size"]),
        "strides": (topology.strides, [tuple(one) for one in built["strides"]]),
        "kernels": (topology.kernels, [tuple(one) for one in built["kernel_sizes"]]),
        "features": (topology.features, built["features_per_stage"]),
        "batch": (ours.batch, his["batch_size"]),
        "batch dice": (ours.batch_dice, his["batch_dice"]),
        "normalisation": (
            [SCHEMES[one.scheme] for one in ours.normalisation],
            his["normalization_schemes"],
        ),
        "masks": ([one.masked for one in ours.normalisation], [
            bool(masked) and scheme == SCHEMES["zscore"]
            for masked, scheme in zip(
                his["use_mask_for_norm"], his["normalization_schemes"], strict=True
            )
        ]),
    }  # fmt: skip
    wrong = [field for field, (a, b) in pairs.items() if _listed(a) != _listed(b)]
    close = np.allclose(ours.spacing_mm[3 - rank :], his["spacing"], rtol=1e-9)
    return wrong if close else [*wrong, "spacing"]


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def made_up_facts(number: int) -> dict[str, Any]:
    """A random fingerprint: tiny, small, large or huge cases, with one coarse axis or none."""
    random = np.random.default_rng(number)
    cases = int(random.integers(3, 40))
    spacing = np.full(3, random.uniform(0.5, 2.0))
    spacing[random.integers(3)] *= random.choice([1.0, 2.0, 3.0, 5.0, 8.0])
    smallest, largest = ((6, 40), (20, 80), (60, 400), (200, 700))[number % 4]
    edges = random.uniform(smallest, largest, 3) * random.uniform(0.8, 1.2, (cases, 3))
    spacings = spacing * random.choice([0.9, 1.0, 1.0, 1.1], (cases, 3))
    shapes = np.maximum(edges * spacing.min() / spacing, 6).astype(int)
    channel = dict.fromkeys(STATISTICS, 0.0) | {"std": 1.0, "percentile_99_5": 1.0}
    return {
        "spacings": spacings.tolist(),
        "shapes_after_crop": shapes.tolist(),
        "foreground_intensity_properties_per_channel": {"0": channel},
        "median_relative_size_after_cropping": 1.0,
    }


def _made_up(peer: Peer) -> list[Row]:
    """Plans of random fingerprints; among them some that call for a low-resolution plan."""
    facts = {number: made_up_facts(number) for number in range(100, 100 + MADE_UP)}
    raws = {
        number: datasets.planned_only(peer.raw, peer.prepared, number, one)
        for number, one in facts.items()
    }
    jobs = [
        {"dataset": raw.name, "planner": "plain", "name": str(number), "spacing": None}
        for number, raw in raws.items()
    ]
    plans, _ = peer.run("plan", {"jobs": jobs})
    wrong: dict[str, list[str]] = {"2d": [], "3d_fullres": []}
    low = 0
    for number, one in facts.items():
        low += "3d_lowres" in plans[str(number)]["configurations"]
        for dims, name in ((2, "2d"), (3, "3d_fullres")):
            ours = make_plan(
                read_dataset(raws[number].folder)[0], _fingerprint(one), preset=None,
                network=spec("nnunet"), planner="v2.8", dims=dims,
            )  # fmt: skip
            wrong[name] += [f"{number}: {x}" for x in differing(ours, plans[str(number)], name)]
    title = f"{MADE_UP} random fingerprints"
    return [
        Row(f"plan {name}, plain: fields that differ", title, len(found), 0,
            ", ".join(found) or f"{low} of them with a low-resolution plan (batch Dice)")
        for name, found in wrong.items()
    ]  # fmt: skip


def _fingerprint(facts: dict[str, Any]) -> Fingerprint:
    cases = tuple(
        CaseFacts(
            id=f"case_{index:03d}", shape=tuple(shape), full_shape=tuple(shape),
            spacing_mm=tuple(spacing), relative_size=1.0,
        )
        for index, (shape, spacing) in enumerate(
            zip(facts["shapes_after_crop"], facts["spacings"], strict=True)
        )
    )  # fmt: skip
    channel = facts["foreground_intensity_properties_per_channel"]["0"]
    return Fingerprint(cases=cases, channels=(ChannelFacts(**channel),), class_voxels={})
