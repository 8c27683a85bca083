"""What a spec means on a topology: blocks per stage, skips, mixers. Loads without torch."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from segttt.config.network import NetworkSpec, Topology
from segttt.errors import UsageError

Order = Literal["raster", "channels"]
"""What the tokens of a feature map are: its voxels, last axis fastest, or its channels."""

NARROWEST_HEAD = 4
"""Channels per head over voxels; the norm of two channels has no usable gradient."""


@dataclass(frozen=True)
class MixerSite:
    """A mixer after one encoder stage."""

    stage: int
    order: Order
    tokens: int
    """For an input of one patch."""
    width: int
    """Values per token."""
    heads: int
    head_width: int
    """Even, so that channels can be rotated in pairs; heads * head_width >= width."""


def encoder_blocks(spec: NetworkSpec, topology: Topology) -> tuple[int, ...]:
    """Blocks per encoder stage, or convolutions where the block is `conv`."""
    n = topology.stages
    if isinstance(spec.encoder_blocks, tuple):
        return _checked(spec.encoder_blocks, n, "network.encoder_blocks")
    if spec.encoder_blocks == "resenc":
        return (1, 3, 4, *[6] * n)[:n]
    return _by_rule(spec.encoder_blocks, n, n)


def decoder_blocks(spec: NetworkSpec, topology: Topology) -> tuple[int, ...]:
    """Blocks per decoder stage, deepest first."""
    n = topology.stages
    if isinstance(spec.decoder_blocks, tuple):
        return _checked(spec.decoder_blocks, n - 1, "network.decoder_blocks")
    return _by_rule(spec.decoder_blocks, n - 1, n)


def full_resolution_skip(spec: NetworkSpec, topology: Topology) -> bool:
    """Whether the last decoder stage sees the features of the first encoder stage."""
    if spec.full_resolution_skip == "auto":
        return topology.rank == 3
    return spec.full_resolution_skip


def mixer_sites(spec: NetworkSpec, topology: Topology) -> dict[int, MixerSite]:
    """The mixers by encoder stage; stages of more than `max_tokens` tokens have none.

    A `UsageError` tells when the spec asks for a mixer and no stage can carry it.
    """
    if spec.mixer == "none":
        return {}
    sites = [_site(spec, topology, stage) for stage in _chosen_stages(spec, topology)]
    limit = spec.max_tokens
    kept = {site.stage: site for site in sites if limit is None or site.tokens <= limit}
    if not kept:
        raise UsageError(
            f"network.max_tokens: no stage of '{spec.name}' has at most {limit} tokens. Raise it, "
            "or leave the mixers out with --set network.mixer=none."
        )
    return kept


def _chosen_stages(spec: NetworkSpec, topology: Topology) -> tuple[int, ...]:
    n = topology.stages
    match spec.mixer_stages:
        case "bottleneck":
            return (n - 1,)
        case "alternating":
            return tuple(stage for stage in range(n) if stage % 2 != n % 2)
        case "all":
            return tuple(range(n))
        case stages:
            wrong = [stage for stage in stages if not 0 <= stage < n]
            if wrong or not stages:
                raise UsageError(
                    f"network.mixer_stages: {list(stages)} must name stages from 0 to {n - 1}."
                )
            return tuple(sorted(set(stages)))


def _site(spec: NetworkSpec, topology: Topology, stage: int) -> MixerSite:
    voxels, features = prod(topology.stage_shape(stage)), topology.features[stage]
    swapped = spec.channel_tokens and voxels <= features
    tokens, width = (features, voxels) if swapped else (voxels, features)
    # Channel tokens keep the authors' heads, whose weights are published in that shape.
    heads = spec.heads if swapped else min(spec.heads, max(1, width // NARROWEST_HEAD))
    return MixerSite(
        stage=stage,
        order="channels" if swapped else "raster",
        tokens=tokens,
        width=width,
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
