"""One alternating step of a game, by two drivers that take the same steps.

:func:`pure` is a function of a named state: it can be mapped over seeds (``torch.func.vmap``: a
leading axis on the state makes many runs at once), compiled, differentiated (:func:`unrolled
<ganlib.options.unrolled>` does).
:func:`in_place` trains the modules themselves, with torch's fused optimiser, and is what
:func:`ganlib.training.fit` calls. Both are a :class:`Step`, a few functions of a :class:`State`::

    one = step.pure(Game(generator, discriminator))
    state = one.initial()
    state, fake = one.generate(state, latent)                # what the discriminator is shown
    state, loss = one.discriminator(state, real, fake)       # its step
    state, loss = one.generator(state, other_latent)         # the generator's

Nothing is drawn here: latents, batches and the places of a penalty come in as arguments. An
option of a step is a function from step to step (:mod:`ganlib.options`). The step is algorithm 1
of the chapter `equilibrium`; what the players pay is :mod:`ganlib.game`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad_and_value
from torch.utils._pytree import tree_map

from ganlib.batches import Batch
from ganlib.game import Bound, Game
from ganlib.optimisers import Adam, Optimiser, Slots, Tree, at

__all__ = [
    "Ahead",
    "Player",
    "State",
    "Step",
    "in_place",
    "pure",
    "refuse_hidden_noise",
    "stack",
    "take",
    "turn",
]


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

    Examples
    --------
    >>> from ganlib.game import Game
    >>> from ganlib.networks import mlp
    >>> player = pure(Game(mlp(2, 8, 2), mlp(2, 8, 1))).initial().generator
    >>> isinstance(player, Player), sorted(player.slots)
    (True, ['count', 'mean', 'square'])
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

    Examples
    --------
    >>> from ganlib.game import Game
    >>> from ganlib.networks import mlp
    >>> state = pure(Game(mlp(2, 8, 2), mlp(2, 8, 1))).initial()
    >>> isinstance(state, State), sorted(state.discriminator.weights)
    (True, ['0.bias', '0.weight', '2.bias', '2.weight'])
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
#: From the generator's weights to the discriminator that judges its samples.
Ahead = Callable[[Tree], Player]


class Step(NamedTuple):
    """The functions of one alternating step; see the module's head.

    Attributes
    ----------
    game, optimisers
        What is played, and the (generator's, discriminator's) optimiser.
    in_place
        Whether a state's tensors are changed where they are.
    initial
        (generator=None, discriminator=None, seed=0) -> the state before the first step, with the
        weights and buffers of these modules, or of the game's own. Modules made from other seeds
        give the states of as many runs; ``seed`` is that of what options draw.
    generate
        (state, latent) -> (state, fake): samples for the discriminator's step. The generator's
        buffers may change.
    discriminator
        (state, real, fake, mix=None) -> (state, loss): the loss is a scalar, before the step,
        penalty included. ``mix`` holds one uniform draw a pair, for a penalty that takes it.
    generator
        (state, latent, ahead=None) -> (state, loss). With ``ahead``, the judge is what that
        function makes of the generator's weights, and the gradient goes through it.

    Examples
    --------
    >>> from ganlib.game import Game
    >>> from ganlib.networks import mlp
    >>> from ganlib.optimisers import SGD
    >>> one = pure(Game(mlp(2, 8, 2), mlp(2, 8, 1)), SGD(0.1))
    >>> isinstance(one, Step), one.in_place, one.optimisers[0].rate
    (True, False, 0.1)
    """

    game: Game
    optimisers: tuple[Optimiser, Optimiser]
    in_place: bool
    initial: Callable[..., State]
    generate: Callable[[State, Batch], tuple[State, Batch]]
    discriminator: Callable[..., tuple[State, Tensor]]
    generator: Callable[..., tuple[State, Tensor]]


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
        changed. They may keep all they need in buffers (:mod:`ganlib.networks`), but draw nothing
        from torch's generators.
    optimisers
        One for both players, or (generator's, discriminator's).
    clip
        The discriminator's weights are clamped to [-clip, clip] after each of its steps.
    settings
        ``penalty``, the penalty's weight, and a value for each symbol of the loss.

    Raises
    ------
    ValueError
        If a template has no weights to train, or a layer that draws hidden noise
        (``torch.nn.Dropout``); at a step, if a penalty that takes the mix is not given it.

    Examples
    --------
    >>> from ganlib.game import Game
    >>> from ganlib.networks import mlp
    >>> one = pure(Game(mlp(2, 8, 2), mlp(2, 8, 1)))
    >>> first = one.initial()
    >>> state, fake = one.generate(first, torch.zeros(4, 2))
    >>> state, loss = one.discriminator(state, torch.ones(4, 2), fake)
    >>> state, loss = one.generator(state, torch.zeros(4, 2))
    >>> int(first.done), int(state.done)
    (0, 1)
    """
    both = _both(optimisers)
    for player in ("generator", "discriminator"):
        refuse_hidden_noise(player, getattr(game, player))

    def initial(
        generator: nn.Module | None = None, discriminator: nn.Module | None = None, seed: int = 0
    ) -> State:
        modules = generator or game.generator, discriminator or game.discriminator
        return _initial(game, modules, both, clip, settings, as_tensors=True)

    def generate(state: State, latent: Batch) -> tuple[State, Batch]:
        player = Bound(game.generator, state.generator.weights, state.generator.buffers)
        fake = game.samples(player, latent)
        return state.with_weights("generator", state.generator.weights, player.buffers), fake

    def discriminator(
        state: State, real: Batch, fake: Batch, mix: Tensor | None = None
    ) -> tuple[State, Tensor]:
        _need_mix(game, mix)

        def cost(weights: Tree) -> tuple[Tensor, Tree]:
            critic = Bound(game.discriminator, weights, state.discriminator.buffers)
            paid = game.discriminator_cost(critic, real, fake, mix, state.settings)
            return paid, critic.buffers

        weights = state.discriminator.weights
        slopes, (loss, buffers) = grad_and_value(cost, has_aux=True)(weights)
        state = state.with_weights("discriminator", weights, buffers)
        return update(state, "discriminator", slopes), loss

    def generator(state: State, latent: Batch, ahead: Ahead | None = None) -> tuple[State, Tensor]:
        slopes, loss, mine, theirs = _generator_slopes(game, state, latent, ahead)
        state = state.with_weights("generator", state.generator.weights, mine)
        state = state.with_weights("discriminator", state.discriminator.weights, theirs)
        return update(state, "generator", slopes), loss

    def update(state: State, player: str, slopes: Tree) -> State:
        now: Player = getattr(state, player)
        optimiser = both[player == "discriminator"]
        constants = at(_numbers(now), optimiser.rate, state.done)
        weights, slots = optimiser.updated(now.weights, slopes, now.slots, constants)
        if player == "discriminator":
            bound = constants["clip"]
            weights = {
                name: torch.minimum(torch.maximum(weight, -bound), bound)
                for name, weight in weights.items()
            }
        after = now._replace(weights=weights, slots=slots)
        done = state.done + (player == "generator")
        return state.with_player(player, after)._replace(done=done)

    return Step(game, both, False, initial, generate, discriminator, generator)


def in_place(
    game: Game,
    optimisers: Optimisers = Adam(),  # noqa: B008 - immutable
    *,
    clip: float = math.inf,
    settings: Mapping[str, float] | None = None,
) -> Step:
    """The step that trains the game's own modules, the state's tensors being theirs.

    Arguments and errors as :func:`pure`; every source of noise is allowed, and ``initial`` takes
    no modules. Gradients that nobody uses are never computed, nor zeroed.

    Examples
    --------
    >>> from ganlib.game import Game
    >>> from ganlib.networks import mlp
    >>> generator, critic = mlp(2, 8, 2), mlp(2, 8, 1)
    >>> one = in_place(Game(generator, critic))
    >>> before = critic[0].weight.detach().clone()
    >>> state, fake = one.generate(one.initial(), torch.zeros(4, 2))
    >>> state, loss = one.discriminator(state, torch.ones(4, 2), fake)
    >>> torch.equal(critic[0].weight, before)
    False
    """
    both = _both(optimisers)
    modules = {"generator": game.generator, "discriminator": game.discriminator}
    started = _initial(game, tuple(modules.values()), both, clip, settings, as_tensors=False)
    lists = {
        player: (
            list(getattr(started, player).weights.values()),
            [list(tree.values()) for tree in getattr(started, player).slots.values()],
        )
        for player in modules
    }
    keeping = [player for player in modules if getattr(started, player).buffers]

    def initial(
        generator: nn.Module | None = None, discriminator: nn.Module | None = None, seed: int = 0
    ) -> State:
        if generator is not None or discriminator is not None:
            raise ValueError("an in-place step trains the game's own modules; give them to Game")
        return started

    def refreshed(state: State) -> State:
        for player in keeping:  # a buffer may have been assigned anew
            now = getattr(state, player)
            state = state.with_weights(player, now.weights, dict(modules[player].named_buffers()))
        return state

    def generate(state: State, latent: Batch) -> tuple[State, Batch]:
        with torch.no_grad():
            fake = game.samples(game.generator, latent)
        return refreshed(state), fake

    def discriminator(
        state: State, real: Batch, fake: Batch, mix: Tensor | None = None
    ) -> tuple[State, Tensor]:
        _need_mix(game, mix)
        loss = game.discriminator_cost(game.discriminator, real, fake, mix, state.settings)
        move(state, "discriminator", torch.autograd.grad(loss, lists["discriminator"][0]))
        return refreshed(state), loss.detach()

    def generator(state: State, latent: Batch, ahead: Ahead | None = None) -> tuple[State, Tensor]:
        if ahead is None:
            loss = game.generator_cost(game.generator, game.discriminator, latent, state.settings)
            move(state, "generator", torch.autograd.grad(loss, lists["generator"][0]))
        else:
            slopes, loss, *buffers = _generator_slopes(game, state, latent, ahead)
            with torch.no_grad():
                for module, after in zip(modules.values(), buffers, strict=True):
                    for name, value in after.items():
                        module.get_buffer(name).copy_(value)
            move(state, "generator", [slopes[name] for name in started.generator.weights])
        return refreshed(state)._replace(done=state.done + 1), loss.detach()

    def move(state: State, player: str, slopes: Sequence[Tensor]) -> None:
        weights, slots = lists[player]
        optimiser = both[player == "discriminator"]
        constants = at(getattr(state, player).settings, optimiser.rate, state.done)
        with torch.no_grad():
            optimiser.update(weights, list(slopes), slots, constants)
            if player == "discriminator" and constants["clip"] != math.inf:
                for weight in weights:
                    weight.clamp_(-constants["clip"], constants["clip"])

    return Step(game, both, True, initial, generate, discriminator, generator)


def _need_mix(game: Game, mix: Tensor | None) -> None:
    if game.takes_mix and mix is None:
        raise ValueError(
            "this penalty takes the places where it looks; pass mix, one uniform draw a pair, such "
            "as torch.rand(len(real) // pack)"
        )


def _generator_slopes(
    game: Game, state: State, latent: Batch, ahead: Ahead | None
) -> tuple[Tree, Tensor, Tree, Tree]:
    """Slopes and value of the generator's cost, and both players' buffers after it."""

    def cost(weights: Tree) -> tuple[Tensor, tuple[Tree, Tree]]:
        player = Bound(game.generator, weights, state.generator.buffers)
        judge = state.discriminator if ahead is None else ahead(weights)
        critic = Bound(game.discriminator, judge.weights, state.discriminator.buffers)
        paid = game.generator_cost(player, critic, latent, state.settings)
        return paid, (player.buffers, critic.buffers)

    slopes, (loss, (mine, theirs)) = grad_and_value(cost, has_aux=True)(state.generator.weights)
    return slopes, loss, mine, theirs


def turn(one: Step, critic_steps: int = 1) -> Callable[..., tuple[State, tuple[Tensor, Tensor]]]:
    """A whole turn as one function: ``critic_steps`` of the discriminator, one of the generator.

    Returns
    -------
    (state, real, latent_d, latent_g, mix=None) -> (state, (loss_d, loss_g)). ``real``,
    ``latent_d`` and ``mix`` have a first axis of ``critic_steps`` batches; the loss of the last
    one counts.

    Examples
    --------
    >>> from ganlib.game import Game
    >>> from ganlib.networks import mlp
    >>> one = pure(Game(mlp(2, 8, 2), mlp(2, 8, 1)))
    >>> play = turn(one, critic_steps=3)
    >>> real, latents = torch.ones(3, 4, 2), torch.zeros(3, 4, 2)
    >>> state, (loss_d, loss_g) = play(one.initial(), real, latents, torch.zeros(4, 2))
    >>> int(state.done), loss_d.shape
    (1, torch.Size([]))
    """

    def both_players(
        state: State, real: Batch, latent_d: Batch, latent_g: Batch, mix: Tensor | None = None
    ) -> tuple[State, tuple[Tensor, Tensor]]:
        for i in range(critic_steps):
            state, fake = one.generate(state, take(latent_d, i))
            state, loss_d = one.discriminator(
                state, take(real, i), fake, None if mix is None else mix[i]
            )
        state, loss_g = one.generator(state, latent_g)
        return state, (loss_d, loss_g)

    return both_players


def stack(states: list[State]) -> State:
    """Many states as one, with a leading axis: what ``torch.func.vmap`` of a step takes.

    ``stack([one.initial(mlp(2, 8, 2, seed=s), mlp(2, 8, 1, seed=s), seed=s) for s in range(16)])``

    Examples
    --------
    >>> from ganlib.game import Game
    >>> from ganlib.networks import mlp
    >>> one = pure(Game(mlp(2, 8, 2), mlp(2, 8, 1)))
    >>> many = stack([one.initial(mlp(2, 8, 2, seed=s), mlp(2, 8, 1, seed=s)) for s in range(3)])
    >>> many, fakes = torch.func.vmap(one.generate)(many, torch.zeros(3, 4, 2))
    >>> fakes.shape
    torch.Size([3, 4, 2])
    """
    return tree_map(lambda *tensors: torch.stack(tensors), *states)


def take(tree: Any, index: int) -> Any:
    """One of many: entry ``index`` along the first axis of every tensor.

    Examples
    --------
    >>> take({"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}, 1)
    {'w': tensor([3., 4.])}
    """
    return tree_map(lambda tensor: tensor[index], tree)


def _both(optimisers: Any) -> tuple[Optimiser, Optimiser]:
    both = optimisers if isinstance(optimisers, (tuple, list)) else (optimisers, optimisers)
    for optimiser in both:
        if isinstance(optimiser, type) or not hasattr(optimiser, "updated"):
            raise TypeError(
                f"the optimiser is {optimiser!r}; pass one of ganlib.optimisers, such as "
                "Adam(1e-3), or a pair of them (generator's, discriminator's)"
            )
    if len(both) != 2:
        raise ValueError(f"{len(both)} optimisers; pass one, or (generator's, discriminator's)")
    return both[0], both[1]


def _initial(
    game: Game,
    modules: tuple[nn.Module, ...],
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
    for player, module, optimiser in zip(
        ("generator", "discriminator"), modules, optimisers, strict=True
    ):
        weights = _trained(player, module)
        _refuse_other_frozen(player, module, getattr(game, player))
        buffers = dict(module.named_buffers())
        constants: dict[str, Any] = {**optimiser.settings, "clip": clip}
        like = next(iter(weights.values()))
        if as_tensors:
            weights, buffers = (
                {name: value.detach().clone() for name, value in tree.items()}
                for tree in (weights, buffers)
            )
            constants = {name: _number(value, like) for name, value in constants.items()}
        slots = {
            slot: {
                name: torch.zeros((), device=weight.device, dtype=torch.float32)
                if slot == "count"
                else torch.zeros_like(weight, requires_grad=False)
                for name, weight in weights.items()
            }
            for slot in optimiser.slots
        }
        players[player] = Player(weights, buffers, slots, constants)
    done: Any = 0
    if as_tensors:
        done = _number(0.0, like)
        given = {name: _number(value, like) for name, value in given.items()}
    return State(players["generator"], players["discriminator"], given, done, {})


def _trained(player: str, module: nn.Module) -> Tree:
    for name, w in module.named_parameters():
        if isinstance(w, nn.parameter.UninitializedParameter):
            raise ValueError(
                f"the {player}'s {name} has no shape yet; call it once on a few samples first"
            )
    weights: Tree = {name: w for name, w in module.named_parameters() if w.requires_grad}
    if weights:
        return weights
    frozen = sum(1 for _ in module.parameters())
    raise ValueError(
        f"the {player} has no weights to train: "
        + (f"all {frozen} are frozen; call {player}.requires_grad_(True)" if frozen
           else f"{type(module).__name__} has no parameters; give it a layer that learns")
    )  # fmt: skip


def _refuse_other_frozen(player: str, module: nn.Module, template: nn.Module) -> None:
    """A state holds no frozen weights: they are the template's, for every run."""
    if module is template:
        return
    for name, weight in template.named_parameters():
        if not weight.requires_grad and not torch.equal(weight, module.get_parameter(name)):
            raise ValueError(
                f"the {player}'s {name} is frozen and differs from the template's, which a state "
                "shares; give it the template's values, or let it learn"
            )


def _number(value: Any, like: Tensor) -> Tensor:
    # In float32 at least: beta2 = 0.999 is 1 in bfloat16.
    if isinstance(value, Tensor):
        return value
    return like.new_tensor(value, dtype=torch.promote_types(like.dtype, torch.float32))


def _numbers(player: Player) -> dict[str, Tensor]:
    like = next(iter(player.weights.values()))
    return {name: _number(value, like) for name, value in player.settings.items()}


def refuse_hidden_noise(player: str, module: nn.Module) -> None:
    """Raise a ValueError for a layer that draws from torch's own generator.

    Examples
    --------
    >>> from ganlib.networks import Dropout
    >>> refuse_hidden_noise("discriminator", Dropout(0.5))  # its noise is its own
    >>> refuse_hidden_noise("discriminator", torch.nn.Dropout(0.5))
    Traceback (most recent call last):
        ...
    ValueError: ...
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.RReLU) or (
            isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0
        ):
            raise ValueError(
                f"the {player} draws from torch's generator in its layer {name or 'itself'} "
                f"({type(layer).__name__}), which a pure step cannot carry; use a layer whose "
                f"noise is its own, such as ganlib.networks.Dropout({getattr(layer, 'p', 0.5)})"
            )
