"""Options of a training step, as functions from step to step.

Each takes a :class:`ganlib.step.Step`, of either driver, and returns one that does the same and
something more; what it has to remember it keeps in the state, under its own name in
``State.extra``, so it is saved with a checkpoint and mapped over seeds with the rest. They chain::

    fit(generator, discriminator, data, options=[replay(1000), averaged(0.999)])
    one = averaged(0.999)(replay(1000)(step.pure(game)))

What each one does to training is measured in `mode-collapse` and `stabilising`. Options of a loss
(smoothed and flipped labels) are in :mod:`ganlib.losses`, instance noise is a layer
(:func:`ganlib.networks.noisy`), a changing rate belongs to the optimiser
(:func:`ganlib.optimisers.linear`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad
from torch.utils._pytree import tree_map

from ganlib import noise
from ganlib.game import Bound
from ganlib.optimisers import Tree
from ganlib.penalties import Batch, parts, whole
from ganlib.step import State, Step

__all__ = ["Option", "averaged", "past_generators", "replay", "unrolled"]

Option = Callable[[Step], Step]


def _keep(state: State, name: str, value: Any) -> State:
    return state._replace(extra={**state.extra, name: value})


def averaged(decay: float = 0.999) -> Option:
    """Keep an exponential average of the generator's weights (Yazıcı et al. 2019).

    After each step ``average = decay * average + (1 - decay) * weights``, from the first weights
    on. Buffers are those of the present. The average is sampled, never trained: it is in
    ``State.extra["averaged"]``, in ``History.extra["averaged"]`` after a fit, and
    ``sample(generator, 1000, weights=history.extra["averaged"])`` draws from it.
    """
    _share(decay, "decay")

    def option(one: Step) -> Step:
        def initial() -> State:
            state = one.initial()
            return _keep(state, "averaged", _copied(_all(state)))

        def generator(state: State, latent: Batch) -> tuple[State, Tensor]:
            before = state.extra["averaged"]
            state, loss = one.generator(state, latent)
            after = {
                name: torch.lerp(value.detach(), before[name], decay)
                if name in state.generator.weights
                else value.clone()
                for name, value in _all(state).items()
            }
            return _keep(state, "averaged", after), loss

        return one._replace(initial=initial, generator=generator)

    return option


def replay(size: int = 1000, *, share: float = 0.5, seed: int = 0) -> Option:
    """Show the discriminator past samples too (Shrivastava et al. 2017, section 2.3).

    A memory holds ``size`` generated samples. At each of its steps the last ``share`` of the
    discriminator's fake batch is taken from random places of the memory, and what it replaces is
    stored there. The first batch fills the memory.
    """
    _whole(size, "size")
    _share(share, "share")

    def option(one: Step) -> Step:
        def initial() -> State:
            state = one.initial()
            return _keep(state, "replay", {"key": _key(state, seed)})

        def generate(state: State, latent: Batch) -> tuple[State, Batch]:
            state, fake = one.generate(state, latent)
            key, fresh = state.extra["replay"]["key"], parts(fake)
            memory = state.extra["replay"].get("memory") or [_repeated(x, size) for x in fresh]
            count = round(share * len(fresh[0]))
            old = len(fresh[0]) - count
            places = (noise.uniform(key[0], key[1], (count,), torch.float64) * size).long()
            shown = [torch.cat([x[:old], m[places]]) for x, m in zip(fresh, memory, strict=True)]
            # Where a place was drawn twice the last one stays, on every device.
            last = _last_of_each(places, size)
            memory = [
                torch.where(_like(last >= 0, m), x[old:][last.clamp(min=0)], m)
                for x, m in zip(fresh, memory, strict=True)
            ]
            state = _keep(state, "replay", {"key": _next(key), "memory": memory})
            return state, whole(shown)

        return one._replace(initial=initial, generate=generate)

    return option


def past_generators(
    count: int = 5, *, every: int = 100, share: float = 0.5, seed: int = 0
) -> Option:
    """Show the discriminator samples of past generators too.

    Every ``every`` steps the generator is added to ``count`` kept ones, in place of the oldest;
    the last ``share`` of the discriminator's fake batch comes from one of them, drawn anew at
    each of its steps. At first all are the generator as it began.
    """
    _whole(count, "count")
    _whole(every, "every")
    _share(share, "share")

    def option(one: Step) -> Step:
        def initial() -> State:
            state = one.initial()
            kept = {
                name: value.detach().expand(count, *value.shape).clone()
                for name, value in _all(state).items()
            }
            return _keep(state, "past_generators", {"key": _key(state, seed), "kept": kept})

        def generate(state: State, latent: Batch) -> tuple[State, Batch]:
            mine = state.extra["past_generators"]
            key, kept = mine["key"], mine["kept"]
            one_of_them = (noise.uniform(key[0], key[1], (1,), torch.float64) * count).long()
            then = {name: value[one_of_them][0] for name, value in kept.items()}
            old = len(parts(latent)[0]) - round(share * len(parts(latent)[0]))
            state, fake = one.generate(state, whole([p[:old] for p in parts(latent)]))
            with torch.no_grad():
                past = one.game.samples(
                    Bound(one.game.generator, then, {}), whole([p[old:] for p in parts(latent)])
                )
            shown = [torch.cat(pair) for pair in zip(parts(fake), parts(past), strict=True)]
            state = _keep(state, "past_generators", {"key": _next(key), "kept": kept})
            return state, whole(shown)

        def generator(state: State, latent: Batch) -> tuple[State, Tensor]:
            state, loss = one.generator(state, latent)
            mine = state.extra["past_generators"]
            done = torch.as_tensor(state.done, device=mine["key"].device)
            place = torch.arange(count, device=done.device) == (done // every) % count
            here = place & (done % every == 0)
            kept = {
                name: torch.where(_like(here, old), value.detach(), old)
                for (name, value), old in zip(
                    _all(state).items(), mine["kept"].values(), strict=True
                )
            }
            return _keep(state, "past_generators", {**mine, "kept": kept}), loss

        return one._replace(initial=initial, generate=generate, generator=generator)

    return option


def unrolled(steps: int = 5) -> Option:
    """The generator looks ahead: it descends its cost against a discriminator some steps on.

    Before the generator's step the discriminator takes ``steps`` steps of its own optimiser in
    thought, on its last real batch and the generator's new samples; the generator's gradient goes
    through them (Metz et al. 2017, equation 6). The discriminator itself stays where it is.
    """
    _whole(steps, "steps")

    def option(one: Step) -> Step:
        game, optimiser = one.game, one.optimiser("discriminator")

        def discriminator(
            state: State, real: Batch, fake: Batch, mix: Tensor | None = None
        ) -> tuple[State, Tensor]:
            state, loss = one.discriminator(state, real, fake, mix)
            return _keep(state, "unrolled", {"real": real, "mix": mix}), loss

        def generator(state: State, latent: Batch) -> tuple[State, Tensor]:
            seen, judge = state.extra["unrolled"], state.discriminator

            def cost(mine: Tree) -> tuple[Tensor, Tensor]:
                player = Bound(game.generator, mine, state.generator.buffers)
                fake = game.samples(player, latent)

                def theirs(weights: Tree) -> Tensor:
                    critic = Bound(game.discriminator, weights, judge.buffers)
                    return game.discriminator_cost(
                        critic, seen["real"], fake, seen["mix"], state.settings
                    )

                weights, slots = judge.weights, judge.slots
                like = next(iter(weights.values()))
                constants = {name: _number(v, like) for name, v in judge.settings.items()}
                for _ in range(steps):
                    slopes = grad(theirs)(weights)
                    weights, slots = optimiser.updated(weights, slopes, slots, constants)
                critic = Bound(game.discriminator, weights, judge.buffers)
                paid = game.generator_cost(player, critic, latent, state.settings)
                return paid, paid

            slopes, loss = grad(cost, has_aux=True)(state.generator.weights)
            return one.update(state, "generator", slopes), loss.detach()

        return one._replace(discriminator=discriminator, generator=generator)

    return option


def _all(state: State) -> Tree:
    return {**state.generator.weights, **state.generator.buffers}


def _copied(tree: Any) -> Any:
    return tree_map(lambda tensor: tensor.detach().clone(), tree)


def _number(value: Any, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else like.new_tensor(value)


def _key(state: State, seed: int) -> Tensor:
    """(seed, calls), where the state is: see :mod:`ganlib.noise`."""
    like = next(iter(state.generator.weights.values()))
    return torch.tensor([seed, 0], device=like.device)


def _next(key: Tensor) -> Tensor:
    return torch.stack([key[0], key[1] + 1])


def _repeated(part: Tensor, size: int) -> Tensor:
    return part[torch.arange(size, device=part.device) % len(part)]


def _last_of_each(places: Tensor, size: int) -> Tensor:
    """For each place of the memory the last draw that hit it, or -1."""
    order = torch.arange(len(places), device=places.device)
    hit = places[None, :] == torch.arange(size, device=places.device)[:, None]
    return torch.where(hit, order, -1).amax(1)


def _like(where: Tensor, values: Tensor) -> Tensor:
    return where.reshape(len(where), *(1 for _ in values.shape[1:]))


def _share(value: float, name: str) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} is {value}; it must be at least 0 and below 1")


def _whole(value: int, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value}; it must be an integer of 1 or more")
