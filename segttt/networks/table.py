"""The table of networks: one name, one spec. Loads without torch."""

from segttt.config.network import NetworkSpec
from segttt.errors import UsageError

_BOT = NetworkSpec(name="ttt-unet-bot")
_ENC = _BOT.model_copy(
    update={
        "name": "ttt-unet-enc",
        "mixer_stages": "alternating",
        "heads": 8,
        "channel_tokens": True,
    }
)
_AS_IN_THE_PAPER = {
    "upsampling": "transposed",
    "full_resolution_skip": True,
    "conv_qk": True,
    "gate": "silu",
}
_PLAIN = NetworkSpec(
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
_RESENC = _PLAIN.model_copy(
    update={
        "name": "nnunet-resenc",
        "stem": "conv",
        "encoder": "resenc",
        "encoder_blocks": "resenc",
        "decoder_blocks": "one",
    }
)

_TABLE: dict[str, NetworkSpec] = {
    one.name: one
    for one in (
        _BOT,
        _BOT.model_copy(update={"name": "ttt-unet-bot:paper", **_AS_IN_THE_PAPER}),
        _ENC,
        _ENC.model_copy(update={"name": "ttt-unet-enc:paper", **_AS_IN_THE_PAPER}),
        _PLAIN,
        _RESENC,
    )
}


def names() -> list[str]:
    """Names of all networks; `:paper` marks what a paper says where its code differs."""
    return list(_TABLE)


def spec(name: str) -> NetworkSpec:
    """The spec of that name; `:official` may stand behind a name that has no other suffix.

    Sources: arXiv 2409.11299 and its public code, Nature Methods 18, 203, arXiv 2404.09556.
    """
    known = _TABLE.get(name.removesuffix(":official"))
    if known is None:
        raise UsageError(f"There is no network '{name}'. Known networks: {', '.join(_TABLE)}.")
    return known
