"""What a spec means on a topology: blocks per stage, skips, mixers. Loads without torch."""

from dataclasses import dataclass
from math import prod
from typing import Literal, cast

from segttt.config.network import Topology, UNetSpec
from segttt.errors import UsageError
from segttt.networks.scan_names import orders

TokenAxis = Literal["raster", "channels"]
"""What the tokens of a feature map are: its voxels, last axis fastest, or its channels."""
Block = Literal["conv", "residual", "resenc", "cnn", "mixers"]
Place = Literal["none", "after", "inside", "alone"]
"""Where a mixer sits: behind the blocks, inside their residual, or instead of them."""

META: dict[str, tuple[Block, Place]] = {
    "cnn": ("cnn", "none"),
    "mamba": ("mixers", "alone"),
    "hybrid_out": ("cnn", "after"),
    "hybrid_in": ("cnn", "inside"),
}
NARROWEST_HEAD = 4
"""Channels per head over voxels; the norm of two channels has no usable gradient."""


@dataclass(frozen=True)
class MixerSite:
    """A mixer at one stage."""

    stage: int
    order: TokenAxis
    tokens: int
    """For an input of one patch."""
    width: int
    """Values per token."""
    grid: tuple[int, ...]
    """Edge lengths of the feature map that the tokens come from, for an input of one patch."""
    scans: tuple[str, ...]
    """Orders in which the tokens are read."""
    heads: int
    head_width: int
    """Even, so that channels can be rotated in pairs; heads * head_width >= width."""


@dataclass(frozen=True)
class StageLayout:
    """What one stage of the encoder or of the decoder is made of."""

    stage: int
    block: Block
    count: int
    """Blocks, or convolutions where the block is `conv`."""
    residual: bool
    """Whether a `cnn` block has a residual connection."""
    place: Place
    site: MixerSite | None


def encoder(spec: UNetSpec, topology: Topology) -> tuple[StageLayout, ...]:
    """The encoder stages, highest resolution first; the last one is the bottleneck.

    A `UsageError` tells when the spec asks for mixers and no stage can carry one.
    """
    counts = encoder_blocks(spec, topology)
    kinds = (*[spec.encoder] * (topology.stages - 1), _deepest(spec))
    _check_some_mixer_remains(spec, topology)
    return tuple(
        _stage(spec, topology, stage, kind, counts[stage]) for stage, kind in enumerate(kinds)
    )


def decoder(spec: UNetSpec, topology: Topology) -> tuple[StageLayout, ...]:
    """The decoder stages, deepest first."""
    counts = decoder_blocks(spec, topology)
    return tuple(
        _stage(spec, topology, stage, spec.decoder, count, decoding=True)
        for stage, count in zip(reversed(range(topology.stages - 1)), counts, strict=True)
    )


def encoder_blocks(spec: UNetSpec, topology: Topology) -> tuple[int, ...]:
    """Blocks per encoder stage, or convolutions where the block is `conv`."""
    n = topology.stages
    if isinstance(spec.encoder_blocks, tuple):
        return _checked(spec.encoder_blocks, n, "network.encoder_blocks")
    if spec.encoder_blocks == "resenc":
        return (1, 3, 4, *[6] * n)[:n]
    return _by_rule(spec.encoder_blocks, n, n)


def decoder_blocks(spec: UNetSpec, topology: Topology) -> tuple[int, ...]:
    """Blocks per decoder stage, deepest first."""
    n = topology.stages
    if isinstance(spec.decoder_blocks, tuple):
        return _checked(spec.decoder_blocks, n - 1, "network.decoder_blocks")
    return _by_rule(spec.decoder_blocks, n - 1, n)


def full_resolution_skip(spec: UNetSpec, topology: Topology) -> bool:
    """Whether the last decoder stage sees the features of the first encoder stage."""
    if spec.full_resolution_skip == "auto":
        return topology.rank == 3
    return spec.full_resolution_skip


def mixer_sites(spec: UNetSpec, topology: Topology) -> dict[int, MixerSite]:
    """The mixers of the encoder by stage; stages of more than `max_tokens` tokens have none."""
    return {one.stage: one.site for one in encoder(spec, topology) if one.site is not None}


def left_out(spec: UNetSpec, topology: Topology) -> tuple[int, ...]:
    """Stages whose mixers `max_tokens` leaves out."""
    return tuple(
        stage for stage in _wanted(spec, topology) if not _affordable(spec, topology, stage)
    )


def _stage(
    spec: UNetSpec,
    topology: Topology,
    stage: int,
    kind: str,
    count: int,
    *,
    decoding: bool = False,
) -> StageLayout:
    block = META[kind][0] if kind in META else cast("Block", kind)
    place = _place(kind, decoding=decoding)
    mixed = place != "none" and stage in _chosen_stages(spec, topology)
    site = _site(spec, topology, stage) if mixed and _affordable(spec, topology, stage) else None
    bare = spec.cnn_residual == "none" or (decoding and spec.cnn_residual == "encoder")
    return StageLayout(
        stage=stage,
        block="cnn" if site is None and block == "mixers" else block,
        count=count,
        residual=place in ("inside", "after") or not bare,
        place=place if site else "none",
        site=site,
    )


def _wanted(spec: UNetSpec, topology: Topology) -> tuple[int, ...]:
    """Stages that would have a mixer if nothing limited the tokens."""
    last = topology.stages - 1
    above = {_place(spec.encoder), _place(spec.decoder, decoding=True)} != {"none"}
    deepest = _place(_deepest(spec)) != "none"
    return tuple(
        stage for stage in _chosen_stages(spec, topology) if (deepest if stage == last else above)
    )


def _place(kind: str, *, decoding: bool = False) -> Place:
    """Where a block of that kind has its mixer; blocks that are none of MM-UNet's: behind them."""
    return META[kind][1] if kind in META else "none" if decoding else "after"


def _deepest(spec: UNetSpec) -> str:
    return spec.encoder if spec.bottleneck == "encoder" else spec.bottleneck


def _affordable(spec: UNetSpec, topology: Topology, stage: int) -> bool:
    return spec.faithful or _tokens(spec, topology, stage)[1] <= spec.max_tokens


def _check_some_mixer_remains(spec: UNetSpec, topology: Topology) -> None:
    wanted = _wanted(spec, topology)
    if wanted and set(wanted) == set(left_out(spec, topology)):
        raise UsageError(
            f"network.max_tokens: no stage of '{spec.name}' has at most {spec.max_tokens} tokens. "
            "Raise it, lift it with --set network.faithful=true, or leave the mixers out with "
            "--set network.mixer=none."
        )


def _chosen_stages(spec: UNetSpec, topology: Topology) -> tuple[int, ...]:
    n = topology.stages
    alternating = tuple(stage for stage in range(n) if stage % 2 != n % 2)
    if spec.mixer == "none":
        return ()
    match spec.mixer_stages:
        case "bottleneck":
            return (n - 1,)
        case "alternating":
            return alternating
        case "alternating_2d":
            return alternating if topology.rank == 2 else tuple(range(n))
        case "all":
            return tuple(range(n))
        case stages:
            wrong = [stage for stage in stages if not 0 <= stage < n]
            if wrong or not stages:
                raise UsageError(
                    f"network.mixer_stages: {list(stages)} must name stages from 0 to {n - 1}."
                )
            return tuple(sorted(set(stages)))


def _tokens(spec: UNetSpec, topology: Topology, stage: int) -> tuple[TokenAxis, int, int]:
    """What the tokens are, how many, and how wide."""
    voxels, features = prod(topology.stage_shape(stage)), topology.features[stage]
    if spec.channel_tokens and voxels <= features:
        return "channels", features, voxels
    return "raster", voxels, features


def _site(spec: UNetSpec, topology: Topology, stage: int) -> MixerSite:
    axis, tokens, width = _tokens(spec, topology, stage)
    swapped = axis == "channels"
    scans = orders(spec.orders, topology.rank)
    if swapped and not {"a", "b", "-a"}.issuperset(scans):
        raise UsageError(
            "network.orders: channels as tokens have no axes, so only a and b make sense. "
            "Choose these, or --set network.channel_tokens=false."
        )
    # Channel tokens keep the authors' heads, whose weights are published in that shape.
    heads = spec.heads if swapped else min(spec.heads, max(1, width // NARROWEST_HEAD))
    return MixerSite(
        stage=stage,
        order=axis,
        tokens=tokens,
        width=width,
        grid=(1, 1, tokens) if swapped else topology.stage_shape(stage),
        scans=scans,
        heads=heads,
        head_width=-(-width // (2 * heads)) * 2,
    )


def _by_rule(rule: Literal["reduced", "one", "two"], entries: int, stages: int) -> tuple[int, ...]:
    """reduced: two blocks in the first half of the stages, one in the rest."""
    half = (stages + 1) // 2 if rule == "reduced" else 0
    rest = 2 if rule == "two" else 1
    return (2,) * min(half, entries) + (rest,) * max(entries - half, 0)


def _checked(blocks: tuple[int, ...], entries: int, field: str) -> tuple[int, ...]:
    if len(blocks) != entries:
        raise UsageError(f"{field}: {len(blocks)} numbers were given, {entries} are needed.")
    return blocks
