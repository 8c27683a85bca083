"""Fresh memory that shows who reads it unwritten, or writes beside it."""

import pytest
import torch
from torch import Tensor

GUARD = 64


@pytest.fixture
def guarded(monkeypatch):
    """Fresh memory is NaN, and lies between NaN that nobody may write to."""
    taken = []
    plain = Tensor.new_empty

    def new_empty(self: Tensor, *shape, **options) -> Tensor:
        view = plain(self, *shape, **options)
        if "device" in options:  # the interpreter's own copies
            return view
        whole = plain(self, view.numel() + 2 * GUARD, dtype=view.dtype).fill_(torch.nan)
        taken.append(whole)
        return whole[GUARD : GUARD + view.numel()].view(view.shape)

    monkeypatch.setattr(Tensor, "new_empty", new_empty)
    yield taken
    assert taken
    for whole in taken:
        assert whole[:GUARD].isnan().all()
        assert whole[-GUARD:].isnan().all()
