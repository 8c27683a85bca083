"""Visual state-space blocks: the four directions, the layer written out, patches, the encoder."""

import pytest
import torch
import torch.nn.functional as F

from segttt.errors import UsageError
from segttt.kernels.selective_scan.op import selective_scan
from segttt.networks.baselines import visual_scan
from segttt.networks.baselines.drop_path import drop_rates
from segttt.networks.baselines.visual_scan import (
    SS2D,
    PatchExpanding,
    PatchMerging,
    VSSBlock,
    VSSEncoder,
    check_grid,
    columns_of,
    rows_of,
    to_map,
)


def roughened(module: torch.nn.Module) -> torch.nn.Module:
    """Move every parameter away from its start, so that none can hide."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module.double()


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_the_rows_and_columns_of_a_map_of_two_rows():
    pixels = torch.tensor([[0.0, 1, 2], [3, 4, 5]])[None, ..., None]
    assert rows_of(pixels).flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert columns_of(pixels).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_rows_and_columns_come_back_to_their_pixels():
    x = maps(2, 3, 5, 4)
    nothing = torch.zeros(2, 15, 4, dtype=torch.float64)
    assert torch.equal(to_map(rows_of(x), nothing, 5), x)
    assert torch.equal(to_map(nothing, columns_of(x), 5), x)


def permuted(layer: SS2D, order: list[int], kernel: torch.Tensor) -> SS2D:
    """The same layer, its directions in another order, with another 3x3 kernel."""
    other = SS2D(6, 3).double()
    state = layer.state_dict()
    for name in ("select", "step", "step_bias", "A_log", "D"):
        state[name] = state[name][order]
    other.load_state_dict({**state, "conv.weight": kernel})
    return other


def test_a_transposed_map_with_swapped_directions_gives_the_transposed_result():
    layer, x = roughened(SS2D(6, 3)), maps(2, 3, 5, 6)
    other = permuted(layer, [1, 0, 3, 2], layer.conv.weight.mT)
    torch.testing.assert_close(other(x.transpose(1, 2)), layer(x).transpose(1, 2))
    assert (layer(x.transpose(1, 2)) - layer(x).transpose(1, 2)).abs().max() > 1e-2


def test_a_turned_map_with_reversed_directions_gives_the_turned_result():
    layer, x = roughened(SS2D(6, 3)), maps(2, 3, 5, 6)
    other = permuted(layer, [2, 3, 0, 1], layer.conv.weight.flip(2, 3))
    torch.testing.assert_close(other(x.flip(1, 2)), layer(x).flip(1, 2))
    assert (layer(x.flip(1, 2)) - layer(x).flip(1, 2)).abs().max() > 1e-2


def recurrence(u, dt, A, B, C, D):
    """One sequence of one direction; u and dt [n, d], B and C [n, s], A [d, s]."""
    state, out = torch.zeros_like(A), []
    for u_t, dt_t, B_t, C_t in zip(u, dt, B, C, strict=True):
        state = torch.exp(dt_t[:, None] * A) * state + torch.outer(dt_t * u_t, B_t)
        out.append(state @ C_t + D * u_t)
    return torch.stack(out)


def test_the_layer_is_its_formula_written_out():
    layer, x = roughened(SS2D(20, 3)), maps(1, 2, 3, 20)  # a width of 20 has steps of rank 2
    u, z = (x @ layer.enter.weight.T)[..., :40], (x @ layer.enter.weight.T)[..., 40:]
    u = F.conv2d(u.movedim(-1, 1), layer.conv.weight, layer.conv.bias, padding=1, groups=40)
    u = F.silu(u).movedim(1, -1)[0]
    total = torch.zeros(2, 3, 40, dtype=torch.float64)
    columns = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    paths = [sorted(columns), columns, sorted(columns)[::-1], columns[::-1]]
    for g, path in enumerate(paths):
        tokens = torch.stack([u[pixel] for pixel in path])
        low, B, C = (tokens @ layer.select[g].T).split([2, 3, 3], 1)
        dt = F.softplus(low @ layer.step[g].T + layer.step_bias[g])
        out = recurrence(tokens, dt, -layer.A_log[g].exp(), B, C, layer.D[g])
        for pixel, value in zip(path, out, strict=True):
            total[pixel] += value
    normed = F.layer_norm(total, (40,), layer.norm.weight, layer.norm.bias)
    truth = (normed * F.silu(z)) @ layer.leave.weight.T
    torch.testing.assert_close(layer(x), truth)


def test_the_scan_is_exact_under_autocast(monkeypatch: pytest.MonkeyPatch):
    calls = []

    def spy(*parts, **how):
        calls.append((parts, how, selective_scan(*parts, **how)))
        return calls[-1][2]

    monkeypatch.setattr(visual_scan, "selective_scan", spy)
    x = maps(1, 4, 4, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert SS2D(8, 4)(x.float()).dtype == torch.bfloat16
    SS2D(8, 4).double()(x)
    dtypes = [torch.float32] * 2 + [torch.float64] * 2  # each layer scans rows, then columns
    for (parts, how, out), dtype in zip(calls, dtypes, strict=True):
        assert {part.dtype for part in (*parts, out)} == {dtype}
        torch.testing.assert_close(out, selective_scan(*parts, **how), rtol=0, atol=0)


def test_starts_of_the_parameters():
    torch.manual_seed(0)
    layer = SS2D(96, 16)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 7 * 96**2 + 424 * 96
    assert layer.step.abs().max().item() == pytest.approx(6**-0.5, rel=1e-2)
    assert layer.select.abs().max().item() == pytest.approx(192**-0.5, rel=1e-2)
    torch.testing.assert_close(layer.A_log[2, 5].exp(), torch.arange(1.0, 17))
    assert (layer.D == 1).all()
    assert not torch.equal(layer.step_bias[0], layer.step_bias[1])


def test_a_block_adds_its_branch():
    block, x = roughened(VSSBlock(8, 4, 0.5)).eval(), maps(3, 4, 2, 8)
    normed = F.layer_norm(x, (8,), block.norm.weight, block.norm.bias, 1e-6)
    torch.testing.assert_close(block(x), x + block.mixer(normed))
    torch.manual_seed(0)
    change = block.train()(x) - x
    expected = 2 * block.mixer(normed)
    dropped = [bool((one == 0).all()) for one in change]
    assert 0 < sum(dropped) < 3
    for one, truth, gone in zip(change, expected, dropped, strict=True):
        torch.testing.assert_close(one, 0 * truth if gone else truth)


def test_merging_takes_squares_of_two_column_by_column():
    merge, x = roughened(PatchMerging(3)), maps(2, 4, 6, 3)
    square = [x[:, 2, 4], x[:, 3, 4], x[:, 2, 5], x[:, 3, 5]]
    truth = merge.reduce(merge.norm(torch.cat(square, -1)))
    assert merge(x).shape == (2, 2, 3, 6)
    torch.testing.assert_close(merge(x)[:, 1, 2], truth)


def test_expanding_gives_squares_row_by_row():
    expand, x = roughened(PatchExpanding(6, 2, 3)), maps(2, 4, 5, 6)
    out = expand(x)
    assert out.shape == (2, 12, 15, 2)
    token = expand.expand(x)[:, 1, 2].unflatten(-1, (3, 3, 2))
    torch.testing.assert_close(out[:, 3:6, 6:9], expand.norm(token))


def test_the_encoder_hands_back_what_enters_and_leaves_each_stage():
    encoder = roughened(VSSEncoder(3, 4, 8, 4, drop_rates(0.0, 0.0, (1, 2, 1))))
    x = maps(3, 3, 32, 16)
    entering, leaving = encoder(x)
    assert [tuple(one.shape[1:]) for one in leaving] == [(8, 4, 8), (4, 2, 16), (2, 1, 32)]
    for stage, before, after in zip(encoder.stages, entering, leaving, strict=True):
        torch.testing.assert_close(stage(before), after)
    for merge, before, after in zip(encoder.merges, leaving[:-1], entering[1:], strict=True):
        torch.testing.assert_close(merge(before), after)
    assert [len(stage) for stage in encoder.stages] == [1, 2, 1]
    for index in range(3):
        alone = encoder(x[index : index + 1])[1][-1]
        torch.testing.assert_close(alone, leaving[-1][index : index + 1])


def test_linear_layers_of_the_encoder_start_truncated_normal():
    torch.manual_seed(0)
    encoder = VSSEncoder(3, 4, 32, 4, drop_rates(0.0, 0.0, (1, 1)))
    for weight in (encoder.merges[0].reduce.weight, encoder.stages[1][0].mixer.enter.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_grids_that_do_not_halve_five_times_are_refused():
    check_grid((64, 96))
    with pytest.raises(UsageError, match="multiples of 32"):
        check_grid((64, 80))
