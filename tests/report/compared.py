"""A comparison to show, with names that would break a page that does not escape them."""

from functools import cache

from segttt.config.comparison import ComparedModel, Comparison
from segttt.config.preset import Target
from segttt.metrics.comparison import measures
from tests.metrics.cohorts import drawn

HOSTILE = "<script>alert('x')</script> a_b & 50% #1 {c} | $d$ \\e ~f ^g \"h\" *i* `j` [k](l)"
NAMES = {1: "right_kidney", 2: "<b>&_%"}


@cache
def compared(names=("ours", HOSTILE), n=12, published=(), seeds=1) -> Comparison:
    """Models named so, each with cases of two labels; the first is better."""
    models = {
        name: [drawn(10 * i + seed, n=n, shift=0.05 if i == 0 else 0.0) for seed in range(seeds)]
        for i, name in enumerate(names)
    }
    return Comparison(
        protocol="strict",
        cases=tuple(f"case_{i:02d}" for i in range(n)),
        left_out={},
        models=tuple(ComparedModel(name=name, folders=(f"{name}/out",) * seeds) for name in names),
        measures=measures(models, NAMES),
        preset="some" if published else None,
        published=tuple(published),
        published_notes=("A <note> on a_b.",) if published else (),
        notes=(f"A note on {HOSTILE}.",),
        resamples=10_000,
        seed=0,
    )


PUBLISHED = (
    Target(model="unetr", metric="dsc", mean=0.745, sd=0.1117, source="Paper A, Table 3"),
    Target(model="unetr", metric="nsd", mean=0.8, source="Paper A, Table 3"),
    Target(model="theirs", metric="dsc", mean=0.91, source="Paper B, Fig. 1(b), inferred"),
    Target(model="theirs", metric="dsc/right_kidney", mean=0.97, source="Paper B, Table 2"),
    Target(model="theirs", metric="dsc/adrenals", mean=0.7, source="Paper B, Table 2"),
    Target(model="theirs", metric="dsc", mean=0.9105, source="Paper B, Table 2"),
)
