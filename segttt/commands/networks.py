"""The networks as a table, and one of them stage by stage."""

from dataclasses import dataclass
from math import prod
from typing import Any

from segttt.commands.plans.adapt import network_spec
from segttt.config import preset as presets
from segttt.config.network import NetworkSpec, Topology, UNetSpec
from segttt.config.preset import Preset
from segttt.errors import MissingDependencyError, UsageError
from segttt.networks.build import entry, names
from segttt.networks.cost import Cost, cost
from segttt.networks.layout import StageLayout, decoder, encoder
from segttt.networks.sizes import fit_patch, fixed_patch, patch_multiple

VOLUMES, SLICES = "flare22", "amos22-mr-2d"
"""Presets whose patches size the table where none is named."""


@dataclass(frozen=True)
class Row:
    """One network of the table."""

    name: str
    family: str
    dims: str
    preset: str | None
    """Whose patch, channels and classes the costs are for; None: it does not suit the network."""
    patch: tuple[int, ...] | None
    cost: Cost | None
    needs: str
    source: str


@dataclass(frozen=True)
class Stage:
    """One stage of a U-Net of blocks and mixers."""

    side: str
    stage: int
    grid: tuple[int, ...]
    features: int
    block: str
    tokens: int
    """Tokens that a mixer has or would have here."""
    mixer: str


@dataclass(frozen=True)
class Sized:
    """A network on the window of a preset."""

    spec: NetworkSpec
    preset: str
    patch: tuple[int, ...]
    wanted_patch: tuple[int, ...]
    """Of the preset, before it is rounded up to what the network needs."""
    multiple: tuple[int, ...]
    fixed_patch: bool
    cost: Cost | None
    stages: list[Stage]
    """Empty for networks that are no U-Net of blocks and mixers."""
    family: str
    source: str
    recipe: dict[str, Any]


def table(preset: str | None) -> list[Row]:
    """All networks, sized for a preset, or for one of volumes and one of slices."""
    return [_row(name, preset) for name in names()]


def show(name: str, preset: str | None) -> Sized:
    """One network at a preset's window."""
    known = entry(name)
    chosen = presets.load(preset or _default(known.spec))
    spec, wanted = network_spec(name, chosen), _window(chosen)
    topology = fit_patch(spec, wanted)
    return Sized(
        spec=spec,
        preset=chosen.name,
        patch=topology.patch,
        wanted_patch=wanted.patch,
        multiple=patch_multiple(spec, topology),
        fixed_patch=fixed_patch(spec),
        cost=_cost(spec, topology, chosen),
        stages=_stages(spec, topology) if isinstance(spec, UNetSpec) else [],
        family=known.family,
        source=known.source,
        recipe=known.recipe,
    )


def _stages(spec: UNetSpec, topology: Topology) -> list[Stage]:
    sides = (("encoder", encoder(spec, topology)), ("decoder", decoder(spec, topology)))
    return [
        Stage(
            side=side,
            stage=one.stage,
            grid=topology.stage_shape(one.stage),
            features=topology.features[one.stage],
            block=f"{one.count} x {one.block}",
            tokens=one.site.tokens if one.site else prod(topology.stage_shape(one.stage)),
            mixer=_mixer(spec, one),
        )
        for side, stages in sides
        for one in stages
    ]


def _mixer(spec: UNetSpec, stage: StageLayout) -> str:
    site = stage.site
    if site is None:
        return ""
    kind = {"ttt_linear": "TTT-Linear", "ttt_mlp": "TTT-MLP", "mamba": "Mamba"}[spec.mixer]
    heads = "" if spec.mixer == "mamba" else f", {site.heads} heads of {site.head_width}"
    what = "channels" if site.order == "channels" else f"orders {' '.join(site.scans)}"
    return f"{kind} {stage.place}, width {site.width}{heads}, {what}"


def _row(name: str, preset: str | None) -> Row:
    known = entry(name)
    chosen = presets.load(preset or _default(known.spec))
    suits = _window(chosen).rank in known.spec.ranks
    topology = fit_patch(network_spec(name, chosen), _window(chosen)) if suits else None
    return Row(
        name=name,
        family=known.family,
        dims=", ".join(f"{rank}D" for rank in known.spec.ranks),
        preset=chosen.name if suits else None,
        patch=topology.patch if topology else None,
        cost=_cost(network_spec(name, chosen), topology, chosen) if topology else None,
        needs=f"pip install 'segttt[baselines]' ({known.spec.needs})" if known.spec.needs else "",
        source=known.source,
    )


def _default(spec: NetworkSpec) -> str:
    return VOLUMES if 3 in spec.ranks else SLICES


def _window(preset: Preset) -> Topology:
    if preset.topology is None:
        raise UsageError(
            f"Preset '{preset.name}' plans its window from data. Name one with a window of its "
            f"own, for example {VOLUMES} or {SLICES}."
        )
    return preset.topology


def _cost(spec: NetworkSpec, topology: Topology, preset: Preset) -> Cost | None:
    """None where the network needs a package that is not installed."""
    data = preset.dataset
    channels, labels = (len(data.channels), len(data.labels)) if data else (1, 1)
    try:
        return cost(spec, topology, channels, labels + 1)
    except MissingDependencyError:
        return None
