"""The plan in words, as names and values."""

from collections.abc import Sequence

from segttt.config.plan import Plan


def plan_rows(plan: Plan) -> list[tuple[str, str]]:
    """The decisive fields of a plan."""
    topology, recipe, predict = plan.topology, plan.train, plan.predict
    mirrored = "averaged over mirrored copies" if predict.mirror else "no mirrored copies"
    decay = f", weight decay {recipe.weight_decay:g}" if recipe.weight_decay else ""
    return [
        ("preset", plan.preset or "none"),
        ("planner", plan.planner),
        ("network", plan.network.name),
        ("channels", ", ".join(plan.channels)),
        ("classes", f"background, {', '.join(plan.labels.values())}"),
        ("spacing (z, y, x)", f"{size_words(plan.spacing_mm)} mm"),
        ("normalisation", ", ".join(one.scheme for one in plan.normalisation)),
        ("window", f"{size_words(topology.patch)} voxels, batch {plan.batch}"),
        ("stages", f"{topology.stages}, features {', '.join(map(str, topology.features))}"),
        ("strides", ", ".join("×".join(map(str, step)) for step in topology.strides)),
        ("training", f"{recipe.epochs} epochs of {recipe.iterations} steps"),
        ("optimiser", f"{recipe.optimizer} {recipe.lr:g}, {recipe.schedule}{decay}"),
        ("prediction", f"windows overlap by {predict.overlap:.0%}, {mirrored}"),
    ]


def size_words(sizes: Sequence[int | float]) -> str:
    """Numbers with a cross between them."""
    return " × ".join(f"{size:g}" for size in sizes)
