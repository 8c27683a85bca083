"""Random changes of grey values. Each acts on one sample [c, *grid] with given parameters."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Sample = Float[Tensor, "c *grid"]
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def per_channel(values: Sequence[float], sample: Sample) -> Float[Tensor, "c *_"]:
    """One number for each channel, [c, 1, ..]."""
    # A tensor of Python's numbers would be copied to a GPU, for which the CPU waits.
    return torch.cat([sample.new_full((1,) * sample.ndim, value) for value in values])


def add_noise(sample: Sample, std: float, seed: int) -> Sample:
    """Add Gaussian noise of the same strength to all channels."""
    random = torch.Generator(device=sample.device).manual_seed(seed)
    noise = torch.randn(sample.shape, generator=random, device=sample.device, dtype=sample.dtype)
    return sample + std * noise


def blur(sample: Sample, sigmas: Sequence[Sequence[float]]) -> Sample:
    """Gaussian blur, one sigma (voxels) per channel and axis; an empty entry leaves a channel."""
    return torch.stack(
        [
            _blur(plane, sigma) if sigma else plane
            for plane, sigma in zip(sample, sigmas, strict=True)
        ]
    )


def _blur(plane: Float[Tensor, "*grid"], sigma: Sequence[float]) -> Float[Tensor, "*grid"]:
    # A product with a small matrix is several times faster than a convolution of one channel.
    for axis, width in enumerate(sigma):
        n, spread = plane.shape[axis], _spread(plane.shape[axis], width)
        if plane.is_cuda:
            spread = spread.pin_memory()  # only then is the copy not waited for
        spread = spread.to(plane, non_blocking=True)
        if axis + 1 == plane.ndim:
            plane = plane @ spread.T
        else:
            lines = plane.reshape(math.prod(plane.shape[:axis]), n, -1)
            plane = torch.matmul(spread, lines).view(plane.shape)
    return plane


def _spread(n: int, width: float) -> Float[Tensor, "n n"]:
    """The Gaussian along an axis of n voxels as a matrix, mirrored at the ends."""
    radius = round(3 * width - 0.25)  # nnU-Net's kernel: the odd length nearest to 6 sigma
    steps = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / width) ** 2)
    # An axis as short as the kernel cannot be reflected.
    mode = "reflect" if radius < n else "replicate"
    padded = F.pad(torch.eye(n)[:, None], (radius, radius), mode=mode)
    return F.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0].T


def scale_brightness(sample: Sample, factors: Sequence[float]) -> Sample:
    """Multiply each channel."""
    return sample * per_channel(factors, sample)


def stretch_contrast(sample: Sample, factors: Sequence[float]) -> Sample:
    """Stretch each channel about its mean, within its own range."""
    flat, each = sample.flatten(1), (-1, *[1] * (sample.ndim - 1))
    mean, low, high = (of.view(each) for of in (flat.mean(1), flat.amin(1), flat.amax(1)))
    return ((sample - mean) * per_channel(factors, sample) + mean).clamp(low, high)


def lower_resolution(
    sample: Sample, scales: Sequence[float | None], *, keep_first_axis: bool
) -> Sample:
    """Sample channels at fewer voxels (nearest) and back (linear); None leaves a channel."""
    return torch.stack(
        [
            plane if scale is None else _coarsen(plane, scale, keep_first_axis)
            for plane, scale in zip(sample, scales, strict=True)
        ]
    )


def _coarsen(plane: Float[Tensor, "*grid"], scale: float, keep_first_axis: bool) -> Tensor:
    size = list(plane.shape)
    small = [max(1, round(n * scale)) for n in size]
    if keep_first_axis:
        small[0] = size[0]
    coarse = F.interpolate(plane[None, None], size=small, mode="nearest-exact")
    return F.interpolate(coarse, size=size, mode=LINEAR[plane.ndim])[0, 0]


def gamma(sample: Sample, exponents: Sequence[float], *, inverted: bool) -> Sample:
    """Raise each channel, scaled to [0, 1], to a power; its mean and deviation are restored."""
    sign = -1.0 if inverted else 1.0
    flat = (sample * sign).flatten(1)
    mean, low = flat.mean(1, keepdim=True), flat.amin(1, keepdim=True)
    span = (flat.amax(1, keepdim=True) - low).clamp_min(1e-8)
    powered = ((flat - low) / span) ** per_channel(exponents, flat)
    centred = powered - powered.mean(1, keepdim=True)
    # Norms are several times faster than the one-pass deviation.
    spread = _norm(centred).clamp_min(1e-8 * math.sqrt(flat.shape[1]) / span)
    restored = torch.addcmul(mean, centred, _norm(flat - mean) / spread)
    return (restored * sign).view_as(sample)


def _norm(values: Float[Tensor, "c n"]) -> Float[Tensor, "c 1"]:
    return torch.linalg.vector_norm(values, dim=1, keepdim=True)
