"""The names of the sixteen scan orders of MM-UNet and of their sets. Loads without torch."""

from segttt.errors import UsageError

NAMED: dict[str, tuple[str, ...]] = {
    "B1": ("a",),
    "B2": ("a", "b"),
    "B3": ("a", "b", "k"),
    "B4": ("a", "b", "c", "d", "e", "f"),
    "B5": ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"),
    "B6": ("m", "-m"),
    "B7": ("n", "-n"),
    "B8": ("o", "-o"),
    "B9": ("p", "-p"),
}
"""The rows of the ablation of scan orders, arXiv 2503.17540, table 1."""

_FLIPPED = {"b": "a", "d": "c", "f": "e", "h": "g", "j": "i", "l": "k"}
"""The first is the reverse of the second."""

_FLAT = {"e": "c", "g": "c", "i": "a", "k": "a", "m": "a"}
"""Without depth the first is the same as the second."""

_CHOICES = "Choose letters from a to p, with - in front for the reverse, or a set from B1 to B9."


def orders(names: str | tuple[str, ...], rank: int) -> tuple[str, ...]:
    """The scan orders of a set such as B2, or those given, checked for images of `rank` axes.

    A `UsageError` tells of unknown names, and in 2D of orders that differ in depth only.
    """
    chosen = NAMED.get(names, (names,)) if isinstance(names, str) else names
    if not chosen:
        raise UsageError(f"network.orders: none was given. {_CHOICES}")
    parsed = [(order, *parse(order)) for order in chosen]
    instead = {
        order: ("-" if backwards else "") + _FLAT[letter]
        for order, letter, backwards in parsed
        if rank == 2 and letter in _FLAT
    }
    if instead:
        advice = ", ".join(f"{flat} instead of {order}" for order, flat in instead.items())
        raise UsageError(
            f"network.orders: {', '.join(instead)} scan along the depth, which a picture does not "
            f"have. Use {advice}, or the sets B1, B2, B7, B8 and B9."
        )
    return chosen


def parse(order: str) -> tuple[str, bool]:
    """The letter of an order that is no reverse of another, and whether to read it backwards."""
    letter, backwards = order.removeprefix("-"), order.startswith("-")
    if letter in _FLIPPED:
        return _FLIPPED[letter], not backwards
    if letter not in set("acegikmnop"):
        raise UsageError(f"network.orders: '{order}' is no scan order. {_CHOICES}")
    return letter, backwards
