"""Preparing photos for an encoder by its recipes alone, without its weights."""

from __future__ import annotations

from dataclasses import dataclass

from shoplens.models.recipe import Recipe
from shoplens.models.views import Prepared, Target, Views, decode_target, views_of
from shoplens.pixels.decoding import Decoded
from shoplens.records import Domain


@dataclass(frozen=True, slots=True)
class Preparer:
    """What `Encoder.decode_target` and `Encoder.prepare` do, as a value.

    A process that only decodes photos can be given one, where an encoder would bring its network.
    """

    recipes: tuple[Recipe, ...]
    """The encoder's, one for each of its models."""

    def decode_target(self, domain: Domain | None = None) -> Target:
        """Return what is enough for every recipe (see `Encoder.decode_target`)."""
        targets = [decode_target(recipe, domain) for recipe in self.recipes]
        sides = {side for _, side in targets}
        return max(target for target, _ in targets), "longer" if sides == {"longer"} else "shorter"

    def prepare(self, photo: Decoded, domain: Domain) -> Prepared:
        """Make the views that each recipe asks for; recipes that ask for the same ones share
        them."""
        made: dict[str, Views] = {}
        for recipe in self.recipes:
            if (preparation := recipe.preparation(domain)) not in made:
                made[preparation] = views_of(photo, domain, recipe)
        return tuple(made[recipe.preparation(domain)] for recipe in self.recipes)
