"""Causal depthwise convolutions along scan orders."""

import torch
import torch.nn.functional as F

from segttt.networks.causal_conv import CausalConv, of_orders


def test_a_token_sees_itself_and_the_three_before_it_with_its_order_s_weights():
    conv = CausalConv(own=2, width=3, reach=4)
    x = torch.randn(1, 2, 9, 3)
    out = conv(x, slice(0, 2), [False, False])
    for order in range(2):
        kernel, bias = conv.weight[order], conv.bias[order]
        truth = bias + sum(x[0, order, 5 - back] * kernel[:, 3 - back] for back in range(4))
        torch.testing.assert_close(out[0, order, 5], truth)
        torch.testing.assert_close(out[0, order, 0], bias + x[0, order, 0] * kernel[:, 3])


def test_a_part_of_the_orders_uses_its_own_weights():
    conv = CausalConv(own=3, width=2, reach=4)
    x = torch.randn(2, 3, 5, 2)
    some = conv(x[:, 1:], slice(1, 3), [False] * 2)
    torch.testing.assert_close(some, conv(x, slice(0, 3), [False] * 3)[:, 1:])


def test_backwards_is_the_same_from_the_other_end():
    conv = CausalConv(own=2, width=3, reach=4)
    x = torch.randn(2, 2, 7, 3)
    both = conv(x, slice(0, 2), [False, True])
    torch.testing.assert_close(both[:, :1], conv(x, slice(0, 2), [False] * 2)[:, :1])
    turned = conv(x.flip(2), slice(0, 2), [False] * 2).flip(2)
    torch.testing.assert_close(both[:, 1:], turned[:, 1:])


def test_what_it_gives_has_been_activated_where_it_is_told_so():
    torch.manual_seed(0)
    plain, active = CausalConv(2, 3, 4), CausalConv(2, 3, 4, "silu")
    active.load_state_dict(plain.state_dict())
    x, how = torch.randn(1, 2, 7, 3), (slice(0, 2), [False, True])
    torch.testing.assert_close(active(x, *how), F.silu(plain(x, *how)))


def test_orders_may_read_one_sequence():
    conv = CausalConv(own=2, width=3, reach=4)
    x, how = torch.randn(2, 1, 7, 3, requires_grad=True), (slice(0, 2), [False, True])
    ours, truth = conv(x, *how), conv(x.expand(-1, 2, -1, -1), *how)
    assert torch.equal(ours, truth)
    grads = [torch.autograd.grad(out.sin().sum(), [x, *conv.parameters()]) for out in (ours, truth)]
    torch.testing.assert_close(*grads)


def test_it_is_pytorch_s_convolution_of_padded_channels():
    conv = CausalConv(own=1, width=6, reach=4)
    x = torch.randn(2, 1, 50, 6)
    padded = F.pad(x[:, 0].mT, (3, 0))
    truth = F.conv1d(padded, conv.weight[0][:, None], conv.bias[0], groups=6)
    torch.testing.assert_close(conv(x, slice(0, 1), [False])[:, 0], truth.mT)


def test_a_single_set_serves_every_order():
    weight = torch.randn(1, 4)
    assert torch.equal(of_orders(weight, slice(1, 3)), weight.expand(2, 4))
    assert torch.equal(
        of_orders(torch.arange(3.0)[:, None], slice(1, 3))[:, 0], torch.tensor([1.0, 2])
    )


def test_starts_as_pytorch_starts_a_depthwise_convolution():
    torch.manual_seed(0)
    conv = CausalConv(own=1, width=4000, reach=4)
    for parameter in (conv.weight, conv.bias):
        assert 0.49 < parameter.abs().max() <= 0.5
        assert abs(parameter.mean()) < 0.02
