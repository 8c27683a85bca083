"""A plan adapted to a network, its recipe and the user's settings."""

from typing import Any, Literal

from segttt.commands.watch import Watch
from segttt.config.network import NetworkSpec, UNetSpec
from segttt.config.overrides import override
from segttt.config.plan import Inference, Plan
from segttt.config.preset import Preset
from segttt.config.recipe import OPTIMISATION, Augmentation, Recipe, with_optimisation
from segttt.config.strict import Strict
from segttt.errors import UsageError
from segttt.networks.build import entry, names, parameter_count, spec
from segttt.networks.layout import left_out
from segttt.networks.sizes import fit_patch

RecipeName = Literal["published", "preset", "nnunet"]


def network_spec(name: str | None, chosen: Preset | None) -> NetworkSpec:
    """The spec by name; the preset's own network with what the preset changes of it."""
    default = chosen.network if chosen and chosen.network else "ttt-unet-bot"
    own = chosen is not None and name in (None, default)
    return override(spec(name or default), chosen.network_options if chosen and own else {})


def switched(
    plan: Plan, network: NetworkSpec, recipe: RecipeName | None, chosen: Preset | None
) -> Plan:
    """The plan with a network and the optimiser and schedule that were asked for.

    They are those published for the network (None), those of the preset, or nnU-Net's.
    """
    train = plan.train
    if _published(plan.network.name) or recipe is not None:
        own = chosen.train if chosen else Recipe()
        train = with_optimisation(train, {name: getattr(own, name) for name in OPTIMISATION})
    if recipe == "nnunet":
        train = with_optimisation(train, {})
    elif recipe != "preset" and (published := _published(network.name)):
        train = with_optimisation(train, published)
    return plan.model_copy(update={"network": network, "train": train})


class Known(Strict):
    """The parts of a plan that are known before any data is read."""

    network: NetworkSpec
    augment: Augmentation = Augmentation()
    train: Recipe = Recipe()
    predict: Inference = Inference()


def check_settings(settings: dict[str, Any], network: NetworkSpec) -> None:
    """A `UsageError` for settings that no data would make right, before hours go into reading."""
    early = {}
    for name, value in settings.items():
        field = name.partition(".")[0]
        if field not in Plan.model_fields:
            known = ", ".join(Plan.model_fields)
            raise UsageError(
                f"--set {name}: there is no field '{field}'. Known fields there: {known}."
            )
        if field in Known.model_fields:
            early[name] = value
    override(Known(network=network), early)


def settled(plan: Plan, settings: dict[str, Any], watch: Watch) -> Plan:
    """The plan under the user's settings, its patch rounded up to what the network needs."""
    plan = override(plan, settings)
    fitted = fit_patch(plan.network, plan.topology)
    if fitted != plan.topology:
        watch.note(
            f"The patch is {_times(fitted.patch)} instead of {_times(plan.topology.patch)}, since "
            f"{plan.network.name} needs it larger."
        )
        plan = plan.model_copy(update={"topology": fitted})
    if isinstance(plan.network, UNetSpec) and (stages := left_out(plan.network, plan.topology)):
        watch.note(
            f"Stages {', '.join(map(str, stages))} have more than {plan.network.max_tokens:,} "
            "tokens and carry no mixer; --set network.faithful=true puts one there."
        )
    # built without memory: a network that cannot be is told before any data is prepared
    parameter_count(plan.network, plan.topology, len(plan.channels), plan.classes)
    return plan


def _published(network: str) -> dict[str, Any]:
    return entry(network).recipe if network in names() else {}


def _times(edges: tuple[int, ...]) -> str:
    return " x ".join(map(str, edges))
