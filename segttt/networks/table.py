"""The table of networks: one name, one spec, where it comes from. Loads without torch."""

from dataclasses import dataclass, field, replace
from typing import Any

from segttt.config.baselines import (
    NnFormerSpec,
    PluginSpec,
    SegResNetSpec,
    SwinUMambaSpec,
    SwinUNETRSpec,
    TransUNetSpec,
    UNETRSpec,
    UXNet3DSpec,
    VMUNetSpec,
)
from segttt.config.network import NetworkSpec, UNetSpec
from segttt.errors import UsageError

PLUGINS = "segttt.networks"
"""Entry-point group in which other packages offer networks."""


@dataclass(frozen=True)
class Entry:
    """One network."""

    spec: NetworkSpec
    family: str
    source: str
    recipe: dict[str, Any] = field(default_factory=dict)
    """Optimiser and schedule that were published for it; empty: those of nnU-Net."""
    small: dict[str, Any] = field(default_factory=dict)
    """Fields that make the variant `:small`, for machines without a GPU."""


def _renamed(spec: UNetSpec, name: str, fields: dict[str, Any]) -> UNetSpec:
    return spec.model_copy(update={"name": name, **fields})


def _small(entry: Entry) -> Entry | None:
    """The variant `:small` of an entry, if it has one."""
    if not entry.small:
        return None
    fields = {"name": f"{entry.spec.name}:small", **entry.small}
    return replace(entry, spec=entry.spec.model_copy(update=fields), small={})


_BOT = UNetSpec(name="ttt-unet-bot")
_ENC = _renamed(
    _BOT, "ttt-unet-enc", {"mixer_stages": "alternating", "heads": 8, "channel_tokens": True}
)
_AS_IN_THE_PAPER = {
    "upsampling": "transposed",
    "full_resolution_skip": True,
    "conv_qk": True,
    "gate": "silu",
}
_PLAIN = UNetSpec(
    name="nnunet",
    stem="none",
    encoder="conv",
    decoder="conv",
    encoder_blocks="two",
    decoder_blocks="two",
    upsampling="transposed",
    full_resolution_skip=True,
    mixer="none",
)
_RESENC = {
    "stem": "conv",
    "encoder": "resenc",
    "encoder_blocks": "resenc",
    "decoder_blocks": "one",
}
_UMAMBA_BOT = _renamed(_BOT, "umamba-bot", {"mixer": "mamba"})
_UMAMBA_ENC = _renamed(_ENC, "umamba-enc", {"mixer": "mamba", "mixer_stages": "alternating_2d"})
_V1 = {
    "stem": "conv",
    "encoder": "resenc",
    "decoder": "resenc",
    "encoder_blocks": "two",
    "decoder_blocks": "two",
    "upsampling": "transposed",
    "full_resolution_skip": True,
}
_V1_ENC = {**_V1, "mixer_stages": "all", "channel_tokens": False}
_MM = _renamed(
    _PLAIN,
    "mm-unet",
    {
        "encoder": "hybrid_in",
        "decoder": "cnn",
        "encoder_blocks": "one",
        "decoder_blocks": "one",
        "mixer": "mamba",
        "mixer_stages": "all",
        "orders": "B2",
    },
)

_ADAMW = {"optimizer": "adamw", "weight_decay": 0.01}
_SWIN = {**_ADAMW, "lr": 8e-4, "schedule": "cosine", "lr_end": 1e-6}
_SWIN_UMAMBA = {**_ADAMW, "lr": 1e-4, "weight_decay": 0.05, "schedule": "cosine", "lr_end": 1e-6}
_SMALL_SWIN = {"features": 12, "heads": (1, 2, 2, 4)}
_SMALL_VSS = {"features": 16, "depths": (1, 1, 2, 1)}

_ENTRIES = (
    Entry(_BOT, "TTT-UNet", "arXiv 2409.11299"),
    Entry(_renamed(_BOT, "ttt-unet-bot:paper", _AS_IN_THE_PAPER), "TTT-UNet", "arXiv 2409.11299"),
    Entry(_ENC, "TTT-UNet", "arXiv 2409.11299"),
    Entry(_renamed(_ENC, "ttt-unet-enc:paper", _AS_IN_THE_PAPER), "TTT-UNet", "arXiv 2409.11299"),
    Entry(_MM, "MM-UNet", "arXiv 2503.17540"),
    Entry(_renamed(_MM, "mm-unet-ttt", {"mixer": "ttt_linear"}), "MM-UNet", "of this project"),
    Entry(_PLAIN, "nnU-Net", "Nature Methods 18, 203"),
    Entry(_renamed(_PLAIN, "nnunet-resenc", _RESENC), "nnU-Net", "arXiv 2404.09556"),
    Entry(_UMAMBA_BOT, "U-Mamba", "arXiv 2401.04722"),
    Entry(_renamed(_UMAMBA_BOT, "umamba-bot:v1", _V1), "U-Mamba", "arXiv 2401.04722"),
    Entry(_UMAMBA_ENC, "U-Mamba", "arXiv 2401.04722"),
    Entry(_renamed(_UMAMBA_ENC, "umamba-enc:v1", _V1_ENC), "U-Mamba", "arXiv 2401.04722"),
    Entry(
        SegResNetSpec(),
        "CNN",
        "arXiv 1810.11654, trained as in arXiv 2401.04722",
        {"optimizer": "adam", "lr": 1e-4, "weight_decay": 1e-5, "precision": "fp32"},
        {"features": 8},
    ),
    Entry(
        UXNet3DSpec(),
        "CNN",
        "arXiv 2209.15076",
        {**_ADAMW, "lr": 1e-4, "eps": 1e-8, "schedule": "constant"},
        {"features": 8, "depths": (1, 1, 1, 1)},
    ),
    Entry(
        UNETRSpec(),
        "transformer",
        "arXiv 2103.10504, trained as in arXiv 2401.04722",
        {**_ADAMW, "lr": 1e-4, "poly_exponent": 1.0},
        {"features": 8, "width": 96, "mlp_width": 192, "heads": 4},
    ),
    Entry(SwinUNETRSpec(), "transformer", "arXiv 2201.01266", _SWIN, _SMALL_SWIN),
    Entry(
        SwinUNETRSpec(name="swinunetrv2", v2=True),
        "transformer",
        "arXiv 2201.01266, MONAI",
        _SWIN,
        _SMALL_SWIN,
    ),
    Entry(
        NnFormerSpec(),
        "transformer",
        "arXiv 2109.03201",
        {"deep_supervision": "three_largest"},
        {"width": 24, "heads": (1, 2, 4, 8), "embedding": (2, 2, 2)},
    ),
    Entry(
        TransUNetSpec(),
        "transformer",
        "arXiv 2102.04306",
        {"momentum": 0.9, "nesterov": False, "weight_decay": 1e-4, "schedule_per": "iteration"},
        {"stem": 32, "units": (1, 1, 2), "width": 96, "layers": 2, "heads": 4, "mlp_width": 192,
         "decoder": (64, 32, 16, 16)},
    ),
    Entry(
        VMUNetSpec(),
        "Mamba",
        "arXiv 2402.02491",
        {**_ADAMW, "lr": 1e-3, "eps": 1e-8, "schedule": "cosine", "lr_end": 1e-5,
         "cosine_turns": 3},
        {"features": 16, "encoder_blocks": (1, 1, 1, 1), "decoder_blocks": (1, 1, 1, 1)},
    ),
    Entry(SwinUMambaSpec(), "Mamba", "arXiv 2402.03302", _SWIN_UMAMBA, _SMALL_VSS),
    Entry(
        SwinUMambaSpec(name="swin-umamba-d", mamba_decoder=True),
        "Mamba",
        "arXiv 2402.03302",
        _SWIN_UMAMBA,
        _SMALL_VSS,
    ),
)  # fmt: skip
_TABLE = {one.spec.name: one for one in (*_ENTRIES, *map(_small, _ENTRIES)) if one}


def names() -> list[str]:
    """Names of all networks, those of installed packages last.

    `:paper` marks what a paper says where its code differs, `:v1` the network of a paper's first
    version, `:small` a small instance for machines without a GPU.
    """
    return [*_TABLE, *sorted(set(_plugins()) - set(_TABLE))]


def entry(name: str) -> Entry:
    """What the table says about a name; `:official` may stand behind one without suffix."""
    known = _TABLE.get(name.removesuffix(":official"))
    if known is not None:
        return known
    if name in _plugins():
        return Entry(PluginSpec(name=name), "plugin", f"package {_plugins()[name]}")
    raise UsageError(f"There is no network '{name}'. Known networks: {', '.join(names())}.")


def spec(name: str) -> NetworkSpec:
    """The spec of that name."""
    return entry(name).spec


def _plugins() -> dict[str, str]:
    """Networks of installed packages: name and package."""
    from importlib.metadata import entry_points  # slow to import

    found = entry_points(group=PLUGINS)
    return {one.name: one.dist.name if one.dist else one.value for one in found}
