"""TTT layers as they are mostly written: autograd through a Python loop over mini-batches.

The mathematics is that of the operators, in the dual form of arXiv 2407.04620, one mini-batch after
the other; nothing is done for several of them at once. These are what the kernels have to beat.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from segttt.networks.ttt import TTT


def normalise(z: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    rstd = torch.rsqrt(z.var(-1, keepdim=True, correction=0) + eps)
    return (z - z.mean(-1, keepdim=True)) * rstd, rstd


def slope(z: Tensor, target: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Gradient of half the squared distance between LN(z) and the target."""
    normed, rstd = normalise(z, eps)
    scaled = gamma * (gamma * normed + beta - target)
    along = normed * (scaled * normed).mean(-1, keepdim=True)
    return rstd * (scaled - scaled.mean(-1, keepdim=True) - along)


def ttt_linear(q, k, v, lr, rho, W0, b0, gamma, beta, eps=1e-6, causal=True):  # noqa: PLR0913
    kind = torch.promote_types(q.dtype, torch.float32)
    q_, k_, v_, lr, rho = (x.to(kind) for x in (q, k, v, lr, rho))
    W, b = W0.to(kind)[None], b0.to(kind)[None, :, None]
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    outs = []
    for at in range(0, q.shape[2], len(rho)):
        here = slice(at, at + len(rho))
        Q, K, V, rates = q_[:, :, here], k_[:, :, here], v_[:, :, here], lr[:, :, here]
        size = Q.shape[2]
        grad = slope(K @ W + b, V - K, scale, shift, eps)
        last = rho[size - 1] * rates[..., None]
        ends = W - (last * K).mT @ grad, b - (last * grad).sum(-2, keepdim=True)
        if causal:
            step = (rho[:size, None] * rates[..., None, :]).tril()
            z = Q @ W + b - (step * (Q @ K.mT)) @ grad - step @ grad
        else:
            z = Q @ ends[0] + ends[1]
        W, b = ends
        outs.append(Q + scale * normalise(z, eps)[0] + shift)
    return torch.cat(outs, 2).to(q.dtype)


def ttt_layer(x: Tensor, layer: TTT) -> Tensor:
    """What `layer` computes along the raster with the weights that it has, if it has no options."""
    t, inner = len(layer.position), layer.inner
    q, k, v, lr = (part(x) for part in (layer.q, layer.k, layer.v, layer.lr))
    q, k, v = (one.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for one in (q, k, v))
    rates = layer.inner_lr / layer.head_width * torch.sigmoid(lr).transpose(1, 2)
    rho = F.relu(1 / torch.arange(1, t + 1, device=x.device) + layer.position)
    weights = (inner.W, inner.b, inner.gamma, inner.beta)
    out = ttt_linear(rotary(q, t), rotary(k, t), v, rates, rho, *weights)
    return layer.o(layer.post_norm(out.transpose(1, 2).flatten(2)))


def rotary(x: Tensor, t: int) -> Tensor:
    """Rotary positions within mini-batches of t tokens."""
    n, d = x.shape[-2:]
    position = torch.arange(n, device=x.device) % t
    frequency = 10_000.0 ** (-torch.arange(0, d, 2, device=x.device) / d)
    angle = (position[:, None] * frequency).repeat_interleave(2, -1)
    partner = torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)
    return x * angle.cos() + partner * angle.sin()


def ttt_mlp(q, k, v, lr, rho, W1, b1, W2, b2, gamma, beta, eps=1e-6):  # noqa: PLR0913
    kind = torch.promote_types(q.dtype, torch.float32)
    q_, k_, v_, lr, rho = (x.to(kind) for x in (q, k, v, lr, rho))
    W1, W2 = W1.to(kind)[None], W2.to(kind)[None]
    b1, b2 = b1.to(kind)[None, :, None], b2.to(kind)[None, :, None]
    scale, shift = gamma.to(kind)[:, None], beta.to(kind)[:, None]
    outs = []
    for at in range(0, q.shape[2], len(rho)):
        here = slice(at, at + len(rho))
        Q, K, V, rates = q_[:, :, here], k_[:, :, here], v_[:, :, here], lr[:, :, here]
        size = Q.shape[2]
        before = K @ W1 + b1
        features = F.gelu(before, approximate="tanh")
        second = slope(features @ W2 + b2, V - K, scale, shift, eps)
        first = (second @ W2.mT) * gelu_slope(before)
        step = (rho[:size, None] * rates[..., None, :]).tril()
        z = Q @ W1 + b1 - (step * (Q @ K.mT)) @ first - step @ first
        X = F.gelu(z, approximate="tanh")
        z = X @ W2 + b2 - (step * (X @ features.mT)) @ second - step @ second
        outs.append(Q + scale * normalise(z, eps)[0] + shift)
        last = rho[size - 1] * rates[..., None]
        W1, b1 = W1 - (last * K).mT @ first, b1 - (last * first).sum(-2, keepdim=True)
        W2, b2 = W2 - (last * features).mT @ second, b2 - (last * second).sum(-2, keepdim=True)
    return torch.cat(outs, 2).to(q.dtype)


def gelu_slope(z: Tensor) -> Tensor:
    """Of gelu in its tanh form."""
    bent = torch.tanh(0.7978845608 * (z + 0.044715 * z**3))
    inner = 0.7978845608 * (1 + 3 * 0.044715 * z**2)
    return 0.5 * (1 + bent) + 0.5 * z * (1 - bent**2) * inner
