"""The recipes there are, and what the loop asks of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from torch import Tensor, nn
from torch.optim import Optimizer

from training import (
    dcfst,
    dcfst_examples,
    dimp,
    dimp_examples,
    examples,
    fcot,
    fcot_examples,
    siamfc,
    udt,
    udt_examples,
)

Batch = dict[str, Tensor]


class RecipeModule(Protocol):
    """What a module with a recipe provides; `recipe` is of its own kind everywhere.

    It may also have `draw(network, batch, recipe)`, which returns pictures by name of the first
    examples of a batch and of what the network makes of them; and `before(recipe)`, what is known
    of the weights with which `build_network` begins, where these were trained before.
    """

    def build_network(self, recipe: Any) -> nn.Module:
        """Return the network a run begins with."""

    def build_optimizer(self, network: Any, recipe: Any) -> Optimizer:
        """Return the optimiser of what is trained, at the rates of the first epoch."""

    def start_training(self, network: Any, recipe: Any) -> None:
        """Put the network into training mode, but for what is frozen."""

    def loss(self, network: Any, batch: Batch, recipe: Any) -> tuple[Tensor, Batch]:
        """Return the loss of a batch and what else is worth watching."""


#: Module of every recipe and where its training and validation examples come from.
MODULES: dict[str, tuple[RecipeModule, Callable[[Any], tuple[Any, Any]]]] = {
    'siamfc': (cast(RecipeModule, siamfc), examples.load_examples),
    **{name: (cast(RecipeModule, dimp), dimp_examples.load_examples) for name in dimp.BUILDERS},
    **{n: (cast(RecipeModule, dcfst), dcfst_examples.load_examples) for n in dcfst.BUILDERS},
    **{n: (cast(RecipeModule, fcot), fcot_examples.load_examples) for n in fcot.BUILDERS},
    'udt': (cast(RecipeModule, udt), udt_examples.load_examples),
}
