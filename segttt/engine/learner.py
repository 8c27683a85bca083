"""Everything that changes while a network trains, and one step of that change."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from segttt.cases import Batch
from segttt.config.plan import Plan
from segttt.engine.compute import Compute, require_compiler, right_on_this_device
from segttt.engine.optimise import make_optimizer
from segttt.errors import NonFiniteError
from segttt.losses.compound import deep_supervision_loss, output_weights
from segttt.metrics.online import counts

MAX_SKIPPED = 10
MAX_LOWERED = 40
"""With a loss scale, which each step halves: from its first value, 2^16, to 2^-24."""


@dataclass(frozen=True)
class Begun:
    """A step whose gradient a GPU may still be working out."""

    numbers: Tensor
    """Loss and norm of the gradient, on the CPU once they are there."""
    there: torch.cuda.Event | None
    """Comes to pass when they are; None on a CPU."""

    @classmethod
    def of(cls, loss: Tensor, norm: Tensor) -> "Begun":
        """Have the numbers brought to the CPU, without waiting for them."""
        numbers = torch.stack([loss.detach(), norm]).to("cpu", non_blocking=True)
        if loss.device.type == "cpu":
            return cls(numbers, None)
        there = torch.cuda.Event(blocking=True)  # asleep meanwhile: the core reads the next windows
        there.record(torch.cuda.current_stream(loss.device))
        return cls(numbers, there)

    def wait(self) -> tuple[float, float]:
        """Loss and norm of the gradient; what was queued after them is not waited for."""
        if self.there:
            self.there.synchronize()
        loss, norm = self.numbers.tolist()
        return loss, norm


class Learner:
    """A network, its optimiser, its loss scale and the moving average of its weights."""

    def __init__(self, network: nn.Module, plan: Plan, compute: Compute):
        self.plan = plan
        compute = right_on_this_device(compute, network, plan)
        self.compute = compute
        self.network = compute.place(network)
        self._call: Callable[[Tensor], list[Tensor]] = self.network
        self.optimizer = make_optimizer(self.network, plan.train)
        self.scaler = torch.amp.GradScaler(
            compute.device.type, enabled=compute.dtype == torch.float16
        )
        self.parameters = list(self.network.parameters())
        self.average = [p.detach().clone() for p in self.parameters] if plan.train.average else []
        self.steps = 0
        self.skipped = 0
        """Steps in a row that were left out since their gradient was not finite."""

    @property
    def state_bytes(self) -> int:
        """Of one state on disk: weights, their average and at most two moments."""
        size = sum(value.numel() * value.element_size() for value in self.parameters)
        return size * (3 + bool(self.average))

    def use_fp32(self) -> None:
        """Compute in full precision from now on."""
        self.compute = replace(self.compute, dtype=torch.float32)
        self.scaler = torch.amp.GradScaler(self.compute.device.type, enabled=False)

    def compile(self, backend: str = "inductor") -> None:
        """Have PyTorch compile what trains; `network` itself, which is saved, stays as it is.

        Raises a `UsageError` where a compiler is missing. The first step compiles.
        """
        if backend == "inductor":
            require_compiler(self.compute.device)
        self._call = cast(
            "Callable[[Tensor], list[Tensor]]", torch.compile(self.network, backend=backend)
        )

    def step(self, batch: Batch, lr: float) -> float:
        """One optimiser step; returns the loss. Raises `NonFiniteError`, the weights unchanged."""
        return self.finish(self.begin(batch, lr))

    def begin(self, batch: Batch, lr: float) -> Begun:
        """Queue a step up to its gradient; a GPU works on it while the next batch is made ready."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        limit = self.plan.train.grad_clip or math.inf
        return Begun.of(loss, nn.utils.clip_grad_norm_(self.parameters, limit))

    def finish(self, begun: Begun) -> float:
        """Move the weights; returns the loss. Raises `NonFiniteError`, the weights unchanged."""
        loss, norm = begun.wait()
        if not math.isfinite(loss):
            self.scaler.update(self.scaler.get_scale())  # ready for another step
            raise NonFiniteError(
                f"The loss became {loss} at step {self.steps}. Lower train.lr; the "
                "last good epoch is kept."
            )
        # The scaler's own step would ask the GPU again whether the gradient is finite.
        if math.isfinite(norm):
            self.optimizer.step()
            self.skipped = 0
        else:
            self._skip(norm)
        self.scaler.update()
        self.steps += 1
        self._update_average()
        return loss

    def _skip(self, norm: float) -> None:
        """Leave the weights as they are; gradients that stay unusable stop the training."""
        self.skipped += 1
        if self.skipped >= (MAX_LOWERED if self.scaler.is_enabled() else MAX_SKIPPED):
            raise NonFiniteError(
                f"The gradient was {norm} for {self.skipped} steps in a row. Lower train.lr, or "
                "give the mixer wider heads (fewer network.heads); the last good epoch is kept."
            )

    @torch.no_grad()
    def validate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss and overlap counts [k-1, 3] (tp, fp, fn) of one batch, on the device."""
        outputs = self._forward(batch)
        return self._deep_loss(outputs, batch), counts(outputs[0], batch.labels)

    def weights(self) -> dict[str, Tensor]:
        """The weights to predict with: the moving average where there is one."""
        state = dict(self.network.state_dict())
        if self.average:
            names = [name for name, _ in self.network.named_parameters()]
            state |= dict(zip(names, self.average, strict=True))
        return state

    def _forward(self, batch: Batch) -> list[Tensor]:
        with self.compute.forward():
            return self._call(self.compute.arrange(batch.images))

    def loss(self, batch: Batch) -> Tensor:
        """The loss of one batch, ready for `backward`."""
        return self._deep_loss(self._forward(batch), batch)

    def _deep_loss(self, outputs: list[Tensor], batch: Batch) -> Tensor:
        weights = output_weights(self.plan.train.deep_supervision, len(outputs))
        return deep_supervision_loss(
            outputs, batch.labels, weights, over_batch=self.plan.batch_dice
        )

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average:
            # a young average would remember the random start, so it begins short
            decay = min(self.plan.train.average, (1 + self.steps) / (10 + self.steps))
            for mean, now in zip(self.average, self.parameters, strict=True):
                mean.lerp_(now, 1 - decay)
