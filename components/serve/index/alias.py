"""How the alias may change."""

from components.serve.index.generation import About, Alias
from components.serve.problems import Refused


def switched(alias: Alias, about: About | None, *, version: int) -> Alias:
    """The alias with `about` active.

    Raises Refused release_unknown, or release_refused where it is not complete or the alias has another version than the caller saw.
    """
    if about is None:
        raise Refused("release_unknown", "there is no such generation")
    if alias.version != version:
        raise Refused("release_refused", f"the alias has version {alias.version}, not {version}: somebody else switched meanwhile")
    if not about.complete:
        raise Refused("release_refused", f"generation {about.name} is still being built")
    before = [name for name in (alias.active, *alias.previous) if name not in (None, about.name)]
    return Alias(about.name, tuple(map(str, before)), alias.version + 1)


def rolled_back(alias: Alias) -> Alias:
    """The alias with the generation before active; the one that answers now is not gone back to. Raises Refused nothing_to_roll_back."""
    if not alias.previous:
        raise Refused("nothing_to_roll_back", "no generation answered before this one")
    return Alias(alias.previous[0], alias.previous[1:], alias.version + 1)


def without(alias: Alias, name: str) -> Alias:
    """The alias without a generation that is dropped. Raises Refused release_refused where it is active."""
    if name == alias.active:
        raise Refused("release_refused", f"generation {name} answers now: switch to another first")
    previous = tuple(one for one in alias.previous if one != name)
    return alias if previous == alias.previous else Alias(alias.active, previous, alias.version + 1)
