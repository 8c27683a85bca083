"""One compiled form of a GPU kernel, with the limits it must keep."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Specimen:
    """What `triton.compile` needs to know of a kernel, and what the result may cost.

    `signature` has every argument of `kernel`: a Triton type such as "*fp32", "fp32" or "i32", or
    "constexpr", whose value is then in `constants`.
    """

    name: str
    kernel: object
    """The function under `@triton.jit`."""
    signature: dict[str, str]
    constants: dict[str, object]
    num_warps: int
    num_stages: int
    stack_limit_bytes: int
    """Memory per thread for what registers cannot hold."""
    seconds_limit: float
    """Time to compile on one core."""
