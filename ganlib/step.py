"""One alternating step of a game, by two drivers that take the same steps.

:func:`pure` is a function of a named state: it can be mapped over seeds (``torch.func.vmap``: a
leading axis on the state makes many runs at once), compiled, exported, unrolled.
:func:`in_place` trains the modules themselves, with torch's fused optimiser, and is what
:func:`ganlib.training.fit` calls. Both are a :class:`Step`, a few functions of a :class:`State`::

    one = step.pure(Game(generator, discriminator))
    state = one.initial()
    state, fake = one.generate(state, latent)                # what the discriminator is shown
    state, loss = one.discriminator(state, real, fake)       # its step
    state, loss = one.generator(state, other_latent)         # the generator's

Nothing is drawn here: latents, batches and the places of a penalty come in as arguments. An
option of a step is a function from step to step (:mod:`ganlib.options`). The step is algorithm 1
of the chapter `the-game`; what the players pay is :mod:`ganlib.game`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad_and_value
from torch.utils._pytree import tree_map

from ganlib.game import Bound, Game
from ganlib.optimisers import Adam, Optimiser, Slots, Tree, rate_at
from ganlib.penalties import Batch

__all__ = ["Player", "State", "Step", "in_place", "pure", "stack", "take", "turn"]


class Player(NamedTuple):
    """A network in training.

    Attributes
    ----------
    weights, buffers
        By their names in the module. Weights that need no gradient stay in the module.
    slots
        What the optimiser keeps, by name and weight.
    settings
        The optimiser's constants and ``clip``, the bound on every weight: numbers, or in a pure
        step tensors of one number each.
    """

    weights: Tree
    buffers: Tree
    slots: Slots
    settings: dict[str, Any]


class State(NamedTuple):
    """All that a step changes, and all that a checkpoint has to hold.

    Attributes
    ----------
    generator, discriminator
        The players.
    settings
        The game's: ``penalty``, its weight, and the values of the loss's symbols.
    done
        Steps that the generator has taken.
    extra
        What options keep, by option.
    """

    generator: Player
    discriminator: Player
    settings: dict[str, Any]
    done: Any
    extra: dict[str, Any]

    def with_weights(self, player: str, weights: Tree, buffers: Tree | None = None) -> State:
        """This state with other weights (and buffers) of ``"generator"`` or ``"discriminator"``."""
        now: Player = getattr(self, player)
        after = now._replace(weights=weights, buffers=now.buffers if buffers is None else buffers)
        return self.with_player(player, after)

    def with_player(self, player: str, after: Player) -> State:
        """This state with another ``"generator"`` or ``"discriminator"``."""
        return self._replace(**{player: after})  # type: ignore[arg-type]


Optimisers = Optimiser | tuple[Optimiser, Optimiser]


class Step(NamedTuple):
    """The functions of one alternating step; see the module's head.

    Attributes
    ----------
    game, optimisers
        What is played, and the (generator's, discriminator's) optimiser.
    initial
        () -> the state before the first step, with the weights that the modules have.
    generate
        (state, latent) -> (state, fake): samples for the discriminator's step. The generator's
        buffers may change.
    discriminator
        (state, real, fake, mix=None) -> (state, loss): the loss is a scalar, before the step,
        penalty included. ``mix`` holds one uniform draw a pair, for a penalty that looks between
        samples.
    generator
        (state, latent) -> (state, loss).
    update
        (state, player, slopes) -> state: one step of a player's optimiser along given slopes.
    """

    game: Game
    optimisers: tuple[Optimiser, Optimiser]
    initial: Callable[[], State]
    generate: Callable[[State, Batch], tuple[State, Batch]]
    discriminator: Callable[..., tuple[State, Tensor]]
    generator: Callable[[State, Batch], tuple[State, Tensor]]
    update: Callable[[State, str, Tree], State]

    def optimiser(self, player: str) -> Optimiser:
        """The optimiser of ``"generator"`` or ``"discriminator"``."""
        return self.optimisers[player == "discriminator"]


def pure(
    game: Game,
    optimisers: Optimisers = Adam(),  # noqa: B008 - immutable
    *,
    clip: float = math.inf,
    settings: Mapping[str, float] | None = None,
) -> Step:
    """The step as pure functions: nothing but what they return is new.

    Parameters
    ----------
    game
        Its modules are templates: they give the architecture and the first weights, and are never
        changed.
    optimisers
        One for both players, or (generator's, discriminator's).
    clip
        The discriminator's weights are clamped to [-clip, clip] after each of its steps.
    settings
        ``penalty``, the penalty's weight, and a value for each symbol of the loss.

    Raises
    ------
    ValueError
        If a template has no weights to train, or draws noise that a pure step cannot see
        (``torch.nn.Dropout``).
    """
    both = _both(optimisers)
    for player in ("generator", "discriminator"):
        _refuse_hidden_noise(player, getattr(game, player))

    def initial() -> State:
        return _initial(game, both, clip, settings, as_tensors=True)

    def generate(state: State, latent: Batch) -> tuple[State, Batch]:
        player = Bound(game.generator, state.generator.weights, state.generator.buffers)
        fake = game.samples(player, latent)
        return state.with_weights("generator", state.generator.weights, player.buffers), fake

    def discriminator(
        state: State, real: Batch, fake: Batch, mix: Tensor | None = None
    ) -> tuple[State, Tensor]:
        def cost(weights: Tree) -> tuple[Tensor, Tree]:
            critic = Bound(game.discriminator, weights, state.discriminator.buffers)
            paid = game.discriminator_cost(critic, real, fake, mix, state.settings)
            return paid, critic.buffers

        weights = state.discriminator.weights
        slopes, (loss, buffers) = grad_and_value(cost, has_aux=True)(weights)
        state = state.with_weights("discriminator", weights, buffers)
        return update(state, "discriminator", slopes), loss

    def generator(state: State, latent: Batch) -> tuple[State, Tensor]:
        def cost(weights: Tree) -> tuple[Tensor, tuple[Tree, Tree]]:
            player = Bound(game.generator, weights, state.generator.buffers)
            judge = state.discriminator
            critic = Bound(game.discriminator, judge.weights, judge.buffers)
            paid = game.generator_cost(player, critic, latent, state.settings)
            return paid, (player.buffers, critic.buffers)

        slopes, (loss, (mine, theirs)) = grad_and_value(cost, has_aux=True)(state.generator.weights)
        state = state.with_weights("generator", state.generator.weights, mine)
        state = state.with_weights("discriminator", state.discriminator.weights, theirs)
        return update(state, "generator", slopes), loss

    def update(state: State, player: str, slopes: Tree) -> State:
        now: Player = getattr(state, player)
        optimiser = both[player == "discriminator"]
        constants = _at(now.settings, optimiser, state.done)
        weights, slots = optimiser.updated(now.weights, slopes, now.slots, constants)
        if player == "discriminator":
            bound = now.settings["clip"]
            weights = {
                name: torch.minimum(torch.maximum(weight, -bound), bound)
                for name, weight in weights.items()
            }
        after = now._replace(weights=weights, slots=slots)
        done = state.done + (player == "generator")
        return state.with_player(player, after)._replace(done=done)

    return Step(game, both, initial, generate, discriminator, generator, update)


def in_place(
    game: Game,
    optimisers: Optimisers = Adam(),  # noqa: B008 - immutable
    *,
    clip: float = math.inf,
    settings: Mapping[str, float] | None = None,
) -> Step:
    """The step that trains the game's own modules, the state's tensors being theirs.

    Arguments and errors as :func:`pure`; every source of noise is allowed. Gradients that nobody
    uses are never computed, nor zeroed.
    """
    both = _both(optimisers)
    started = _initial(game, both, clip, settings, as_tensors=False)
    lists = {
        player: (
            list(getattr(started, player).weights.values()),
            [list(tree.values()) for tree in getattr(started, player).slots.values()],
        )
        for player in ("generator", "discriminator")
    }

    def initial() -> State:
        return started

    def generate(state: State, latent: Batch) -> tuple[State, Batch]:
        with torch.no_grad():
            return state, game.samples(game.generator, latent)

    def discriminator(
        state: State, real: Batch, fake: Batch, mix: Tensor | None = None
    ) -> tuple[State, Tensor]:
        loss = game.discriminator_cost(game.discriminator, real, fake, mix, state.settings)
        return descend(state, "discriminator", loss), loss.detach()

    def generator(state: State, latent: Batch) -> tuple[State, Tensor]:
        loss = game.generator_cost(game.generator, game.discriminator, latent, state.settings)
        return descend(state, "generator", loss), loss.detach()

    def descend(state: State, player: str, loss: Tensor) -> State:
        return moved(state, player, torch.autograd.grad(loss, lists[player][0]))

    def update(state: State, player: str, slopes: Tree) -> State:
        return moved(state, player, [slopes[name] for name in getattr(started, player).weights])

    def moved(state: State, player: str, slopes: Any) -> State:
        weights, slots = lists[player]
        optimiser = both[player == "discriminator"]
        constants = getattr(state, player).settings
        with torch.no_grad():
            optimiser.update(weights, list(slopes), slots, _at(constants, optimiser, state.done))
            if player == "discriminator" and constants["clip"] != math.inf:
                for weight in weights:
                    weight.clamp_(-constants["clip"], constants["clip"])
        return state._replace(done=state.done + 1) if player == "generator" else state

    return Step(game, both, initial, generate, discriminator, generator, update)


def turn(one: Step, critic_steps: int = 1) -> Callable[..., tuple[State, tuple[Tensor, Tensor]]]:
    """A whole turn as one function: ``critic_steps`` of the discriminator, one of the generator.

    Returns
    -------
    (state, real, latent_d, latent_g, mix=None) -> (state, (loss_d, loss_g)). ``real``,
    ``latent_d`` and ``mix`` have a first axis of ``critic_steps`` batches; the loss of the last
    one counts.
    """

    def whole(
        state: State, real: Batch, latent_d: Batch, latent_g: Batch, mix: Tensor | None = None
    ) -> tuple[State, tuple[Tensor, Tensor]]:
        for i in range(critic_steps):
            state, fake = one.generate(state, take(latent_d, i))
            state, loss_d = one.discriminator(
                state, take(real, i), fake, None if mix is None else mix[i]
            )
        state, loss_g = one.generator(state, latent_g)
        return state, (loss_d, loss_g)

    return whole


def stack(states: list[State]) -> State:
    """Many states as one, with a leading axis: what ``torch.func.vmap`` of a step takes."""
    return tree_map(lambda *tensors: torch.stack(tensors), *states)


def take(tree: Any, index: int) -> Any:
    """One of many: entry ``index`` along the first axis of every tensor."""
    return tree_map(lambda tensor: tensor[index], tree)


def _both(optimisers: Optimisers) -> tuple[Optimiser, Optimiser]:
    both = optimisers if isinstance(optimisers, tuple) else (optimisers, optimisers)
    for optimiser in both:
        if not hasattr(optimiser, "updated"):
            raise TypeError(
                f"the optimiser is {optimiser!r}; pass one of ganlib.optimisers, such as "
                "Adam(1e-3), or a pair of them (generator's, discriminator's)"
            )
    return both


def _initial(
    game: Game,
    optimisers: tuple[Optimiser, Optimiser],
    clip: float,
    settings: Mapping[str, float] | None,
    *,
    as_tensors: bool,
) -> State:
    if not clip > 0:
        raise ValueError(f"clip is {clip}; it must be positive, for example 0.01")
    given: dict[str, Any] = {"penalty": 1.0, **(settings or {})}
    wanted = {"penalty", *game.symbols}
    if set(given) != wanted:
        raise ValueError(
            f"settings are {', '.join(sorted(given))}; this game has {', '.join(sorted(wanted))}"
        )
    if not given["penalty"] >= 0:
        raise ValueError(f"the penalty's weight is {given['penalty']}; it must be 0 or more")
    players = {}
    for player, optimiser in zip(("generator", "discriminator"), optimisers, strict=True):
        module: nn.Module = getattr(game, player)
        weights = _trained(player, module)
        buffers = dict(module.named_buffers())
        constants: dict[str, Any] = {**optimiser.settings, "clip": clip}
        like = next(iter(weights.values()))
        if as_tensors:
            weights, buffers = (
                {name: value.detach().clone() for name, value in tree.items()}
                for tree in (weights, buffers)
            )
            constants = {name: like.new_tensor(value) for name, value in constants.items()}
        slots = {
            slot: {
                name: torch.zeros((), device=weight.device)
                if slot == "count"
                else torch.zeros_like(weight, requires_grad=False)
                for name, weight in weights.items()
            }
            for slot in optimiser.slots
        }
        players[player] = Player(weights, buffers, slots, constants)
    done: Any = 0
    if as_tensors:
        done = torch.zeros((), device=like.device)
        given = {name: like.new_tensor(value) for name, value in given.items()}
    return State(players["generator"], players["discriminator"], given, done, {})


def _trained(player: str, module: nn.Module) -> Tree:
    weights: Tree = {name: w for name, w in module.named_parameters() if w.requires_grad}
    if weights:
        return weights
    frozen = sum(1 for _ in module.parameters())
    raise ValueError(
        f"the {player} has no weights to train: "
        + (f"all {frozen} are frozen; call {player}.requires_grad_(True)" if frozen
           else f"{type(module).__name__} has no parameters; give it a layer that learns")
    )  # fmt: skip


def _at(settings: Mapping[str, Any], optimiser: Optimiser, done: Any) -> Mapping[str, Any]:
    """The constants of the step to come: a schedule says the rate, else the state does."""
    if not callable(optimiser.rate):
        return settings
    return {**settings, "rate": rate_at(optimiser.rate, done)}


def _refuse_hidden_noise(player: str, module: nn.Module) -> None:
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0:
            raise ValueError(
                f"the {player} draws from torch's generator in its layer {name or 'itself'} "
                f"({type(layer).__name__}), which a pure step cannot carry; use "
                f"ganlib.networks.Dropout({layer.p}), whose noise is its own"
            )
