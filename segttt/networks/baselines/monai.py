"""Networks of MONAI: SegResNet, UNETR, SwinUNETR and SwinUNETR v2."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from segttt.config.baselines import SegResNetSpec, SwinUNETRSpec, UNETRSpec
from segttt.errors import MissingDependencyError, UsageError
from segttt.networks.layer_norm import LayerNorm
from segttt.networks.precision import refuse_thin_maps
from segttt.networks.sizes import own_multiple

MonaiSpec = SegResNetSpec | UNETRSpec | SwinUNETRSpec


class MonaiNetwork(nn.Module):
    """A network as MONAI builds it, with one head.

    Layer norms are those of `segttt.networks.layer_norm`: the same names and numbers, and right
    gradients in bfloat16. A `UsageError` tells that spec or grid do not suit the network, a
    `MissingDependencyError` that MONAI is not installed. Source: MONAI 1.6.1; the arguments are
    those of U-Mamba's baselines (arXiv 2401.04722).
    """

    def __init__(self, spec: MonaiSpec, patch: tuple[int, ...], in_channels: int, classes: int):
        super().__init__()
        self.deep_supervision: bool = True
        """Of no effect: there is one head."""
        self._spec, self._patch = spec, patch
        self.depth_strides = _strides(spec) if len(patch) == 3 else []
        _check_spec(spec)
        self._check_grid(patch)
        with _monai_needed(spec.name):
            self.network = _built(spec, patch, in_channels, classes)
        _exact_norms(self.network)

    def forward(self, x: Float[Tensor, "b c *grid"]) -> list[Float[Tensor, "b k *grid"]]:
        """The logits, at the resolution of the input."""
        self._check_grid(tuple(x.shape[2:]))
        refuse_thin_maps(self, x)
        return [self.network(x)]

    def _check_grid(self, grid: tuple[int, ...]) -> None:
        name, multiple = self._spec.name, own_multiple(self._spec, len(self._patch))[0]
        if len(grid) != len(self._patch) or any(size % multiple for size in grid):
            raise UsageError(
                f"The input is {list(grid)}, but {name} needs {len(self._patch)} edges that are "
                f"multiples of {multiple}."
            )
        if isinstance(self._spec, UNETRSpec) and grid != self._patch:
            raise UsageError(
                f"The input is {list(grid)}, but this {name} was built for inputs of "
                f"{list(self._patch)}; cut the image into windows of that size."
            )
        if isinstance(self._spec, SwinUNETRSpec) and set(grid) == {multiple}:
            raise UsageError(
                f"The input is {list(grid)}, which leaves {name} a single voxel at its deepest "
                f"stage; one edge must be longer than {multiple}."
            )


class _LinspaceOnCpu(TorchFunctionMode):
    """Lets SwinUNETR be built on the meta device, where it reads rates from `torch.linspace`."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        return func(*args, **(kwargs | {"device": "cpu"} if func is torch.linspace else kwargs))


def _built(spec: MonaiSpec, patch: tuple[int, ...], in_channels: int, classes: int) -> nn.Module:
    sizes = {"spatial_dims": len(patch), "in_channels": in_channels, "out_channels": classes}
    match spec:
        case SegResNetSpec():
            return _segresnet(spec, sizes)
        case UNETRSpec():
            return _unetr(spec, patch, sizes)
        case SwinUNETRSpec():
            return _swin_unetr(spec, sizes)


def _segresnet(spec: SegResNetSpec, sizes: dict[str, int]) -> nn.Module:
    return _monai("segresnet", "SegResNet")(
        **sizes,
        init_filters=spec.features,
        blocks_down=spec.encoder_blocks,
        blocks_up=spec.decoder_blocks,
    )


def _unetr(spec: UNETRSpec, patch: tuple[int, ...], sizes: dict[str, int]) -> nn.Module:
    return _monai("unetr", "UNETR")(
        **sizes,
        img_size=patch,
        feature_size=spec.features,
        hidden_size=spec.width,
        mlp_dim=spec.mlp_width,
        num_heads=spec.heads,
        proj_type="conv",
        norm_name="instance",
        res_block=True,
        dropout_rate=0.0,
        qkv_bias=False,
        save_attn=False,
    )


def _swin_unetr(spec: SwinUNETRSpec, sizes: dict[str, int]) -> nn.Module:
    import_module("einops")  # MONAI looks for it only when the network runs
    kind = _monai("swin_unetr", "SwinUNETR")
    with _LinspaceOnCpu():
        return kind(
            **sizes,
            feature_size=spec.features,
            depths=spec.depths,
            num_heads=spec.heads,
            norm_name="instance",
            drop_rate=0.0,
            attn_drop_rate=0.0,
            dropout_path_rate=0.0,
            normalize=True,
            use_checkpoint=False,
            downsample="merging",
            use_v2=spec.v2,
        )


def _monai(module: str, name: str) -> Callable[..., nn.Module]:
    """A network class of MONAI, imported without MONAI's remarks on other packages' versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(import_module(f"monai.networks.nets.{module}"), name)


@contextmanager
def _monai_needed(network: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"Network '{network}' needs the package '{error.name}': pip install 'segttt[baselines]'"
        ) from error


def _exact_norms(network: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.LayerNorm):
                (width,) = child.normalized_shape
                setattr(parent, name, LayerNorm(width, child.eps))


def _strides(spec: MonaiSpec) -> list[int]:
    """Voxels of the input per voxel of each feature map that has 3x3 kernels."""
    multiple = own_multiple(spec, 3)[0]
    deepest = multiple // 2 if isinstance(spec, UNETRSpec) else multiple
    return [2**level for level in range(deepest.bit_length())]


def _check_spec(spec: MonaiSpec) -> None:
    match spec:
        case SegResNetSpec():
            _require(spec.features % 8 == 0, spec.name, "features that are a multiple of 8")
            stages = len(spec.encoder_blocks) - 1
            _require(
                len(spec.decoder_blocks) == stages > 0,
                spec.name,
                "one decoder stage fewer than encoder stages, and at least two of these",
            )
        case UNETRSpec():
            _require(spec.width % spec.heads == 0, spec.name, "a width that is a multiple of heads")
        case SwinUNETRSpec():
            widths = [spec.features * 2**stage for stage in range(4)]
            fits = not any(w % heads for w, heads in zip(widths, spec.heads, strict=True))
            _require(
                spec.features % 12 == 0 and fits,
                spec.name,
                "features that are a multiple of 12 and, doubled from stage to stage, of its heads",
            )


def _require(met: bool, name: str, need: str) -> None:
    if not met:
        raise UsageError(f"Network '{name}' needs {need}. Set them with --set network.FIELD=VALUE.")
