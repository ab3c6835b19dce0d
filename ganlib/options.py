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
from torch.utils._pytree import tree_map

from ganlib import noise
from ganlib.batches import Batch, as_batch, parts
from ganlib.checks import check_count
from ganlib.game import Bound
from ganlib.optimisers import Tree
from ganlib.step import Ahead, Player, State, Step, pure

__all__ = ["Option", "averaged", "past_generators", "replay", "simultaneous", "unrolled"]

#: From a step to one that does the same and something more.
Option = Callable[[Step], Step]


def _keep(state: State, name: str, value: Any) -> State:
    return state._replace(extra={**state.extra, name: value})


def _first(state: State, name: str, value: Any) -> State:
    if name in state.extra:
        raise ValueError(f"{name} is among the options twice; give it once")
    return _keep(state, name, value)


def averaged(decay: float = 0.999) -> Option:
    """Keep an exponential average of the generator's weights (Yazıcı et al. 2019).

    After each step ``average = decay * average + (1 - decay) * weights``, from the first weights
    on. Buffers are those of the present. The average is sampled, never trained: it is in
    ``State.extra["averaged"]``, in ``History.extra["averaged"]`` after a fit, and
    ``sample(generator, 1000, weights=history.extra["averaged"])`` draws from it.

    Parameters
    ----------
    decay
        At least 0 and below 1; 0.999 looks back over a thousand steps.

    Examples
    --------
    With a decay of 0 the average is the present weights:

    >>> from ganlib.data import ring
    >>> from ganlib.networks import mlp
    >>> from ganlib.training import fit, sample
    >>> generator, discriminator = mlp(2, 16, 2), mlp(2, 16, 1, seed=1)
    >>> history = fit(generator, discriminator, ring(), steps=3, options=[averaged(0.0)])
    >>> average = history.extra["averaged"]
    >>> torch.equal(average["0.weight"], generator[0].weight)
    True
    >>> sample(generator, 5, weights=average).shape
    torch.Size([5, 2])
    """
    _share(decay, "decay")

    def option(one: Step) -> Step:
        def initial(*modules: Any, **named: Any) -> State:
            state = one.initial(*modules, **named)
            frozen = dict(one.game.generator.named_parameters())
            return _first(state, "averaged", _copied({**frozen, **_all(state)}))

        def generator(state: State, latent: Batch, *ahead: Any, **how: Any) -> tuple[State, Tensor]:
            before = state.extra["averaged"]
            state, loss = one.generator(state, latent, *ahead, **how)
            now = {
                name: torch.lerp(value.detach() if one.in_place else value, before[name], decay)
                if name in state.generator.weights
                else value.clone()
                for name, value in _all(state).items()
            }
            return _keep(state, "averaged", {**before, **now}), loss

        return one._replace(initial=initial, generator=generator)

    return option


def replay(size: int = 1000, *, share: float = 0.5, seed: int = 0) -> Option:
    """Show the discriminator past samples too (Shrivastava et al. 2017, section 2.3).

    A memory holds ``size`` generated samples. At each of its steps the last ``share`` of the
    discriminator's fake batch is taken from random places of the memory, and what it replaces is
    stored there. The first batch fills the memory. Conditions are remembered with their samples,
    so under a gradient penalty a pair may have two of them.

    Parameters
    ----------
    size
        Samples in the memory, 1 or more; a pure step copies it at each step.
    share
        Of the fake batch, at least 0 and below 1.
    seed
        Of the places drawn.

    Examples
    --------
    >>> from ganlib.data import ring
    >>> from ganlib.networks import mlp
    >>> from ganlib.training import fit
    >>> history = fit(mlp(2, 16, 2), mlp(2, 16, 1), ring(), steps=3, options=[replay(128)])
    >>> sorted(history.extra)
    ['replay']
    """
    check_count(size, "size")
    _share(share, "share")

    def option(one: Step) -> Step:
        def initial(*modules: Any, **named: Any) -> State:
            state = one.initial(*modules, **named)
            return _first(state, "replay", {"key": _key(state, "replay", seed, named)})

        def generate(state: State, latent: Batch) -> tuple[State, Batch]:
            state, fake = one.generate(state, latent)
            key, fresh = state.extra["replay"]["key"], parts(fake)
            memory = state.extra["replay"].get("memory") or [_repeated(x, size) for x in fresh]
            count = round(share * len(fresh[0]))
            old = len(fresh[0]) - count
            places = (noise.uniform(key[0], key[1], (count,), torch.float64) * size).long()
            shown = [torch.cat([x[:old], m[places]]) for x, m in zip(fresh, memory, strict=True)]
            # Where a place was drawn twice the last one stays, on every device.
            order = torch.arange(count, device=key.device)
            last = order.new_full((size,), -1).scatter_reduce(0, places, order, "amax")
            replaced = [x[old:] for x in fresh]
            if one.in_place:
                kept = last[places] == order
                for m, x in zip(memory, replaced, strict=True):
                    m[places[kept]] = x[kept]
            elif count:
                memory = [
                    torch.where(_like(last >= 0, m), x[last.clamp(min=0)], m)
                    for x, m in zip(replaced, memory, strict=True)
                ]
            state = _keep(state, "replay", {"key": _next(key), "memory": memory})
            return state, as_batch(shown)

        return one._replace(initial=initial, generate=generate)

    return option


def past_generators(
    count: int = 5, *, every: int = 100, share: float = 0.5, seed: int = 0
) -> Option:
    """Show the discriminator samples of past generators too.

    Every ``every`` steps the generator is added to ``count`` kept ones, in place of the oldest;
    the last ``share`` of the discriminator's fake batch comes from one of them, drawn anew at
    each of its steps. At first all are the generator as it began.

    Parameters
    ----------
    count, every
        1 or more.
    share
        Of the fake batch, at least 0 and below 1.
    seed
        Of the choices.

    Examples
    --------
    >>> from ganlib.data import ring
    >>> from ganlib.networks import mlp
    >>> from ganlib.training import fit
    >>> keep = past_generators(2, every=1)
    >>> history = fit(mlp(2, 16, 2), mlp(2, 16, 1), ring(), steps=3, options=[keep])
    >>> sorted(history.extra)
    ['past_generators']
    """
    check_count(count, "count")
    check_count(every, "every")
    _share(share, "share")

    def option(one: Step) -> Step:
        def initial(*modules: Any, **named: Any) -> State:
            state = one.initial(*modules, **named)
            kept = {
                name: value.detach().expand(count, *value.shape).clone()
                for name, value in _all(state).items()
            }
            key = _key(state, "past_generators", seed, named)
            return _first(state, "past_generators", {"key": key, "kept": kept})

        def generate(state: State, latent: Batch) -> tuple[State, Batch]:
            key, kept = (state.extra["past_generators"][name] for name in ("key", "kept"))
            one_of_them = (noise.uniform(key[0], key[1], (1,), torch.float64) * count).long()
            then = {name: value[one_of_them][0] for name, value in kept.items()}
            old = len(parts(latent)[0]) - round(share * len(parts(latent)[0]))
            state, fake = one.generate(state, as_batch([p[:old] for p in parts(latent)]))
            with torch.no_grad():
                past = one.game.samples(
                    Bound(one.game.generator, then, {}), as_batch([p[old:] for p in parts(latent)])
                )
            shown = [torch.cat(pair) for pair in zip(parts(fake), parts(past), strict=True)]
            state = _keep(state, "past_generators", {"key": _next(key), "kept": kept})
            return state, as_batch(shown)

        def generator(state: State, latent: Batch, *ahead: Any, **how: Any) -> tuple[State, Tensor]:
            state, loss = one.generator(state, latent, *ahead, **how)
            kept = state.extra["past_generators"]["kept"]
            if one.in_place:
                if state.done % every == 0:
                    for name, value in _all(state).items():
                        kept[name][state.done // every % count] = value.detach()
                return state, loss
            place = torch.arange(count, device=state.done.device)
            here = (place == state.done // every % count) & (state.done % every == 0)
            kept = {
                name: torch.where(_like(here, kept[name]), value, kept[name])
                for name, value in _all(state).items()
            }
            mine = {**state.extra["past_generators"], "kept": kept}
            return _keep(state, "past_generators", mine), loss

        return one._replace(initial=initial, generate=generate, generator=generator)

    return option


def unrolled(steps: int = 5) -> Option:
    """The generator looks ahead: it descends its cost against a discriminator some steps on.

    Before the generator's step the discriminator takes ``steps`` steps of its own, as it would
    (optimiser, penalty, clipping and all), on its last real batch and the generator's new
    samples; the generator's gradient goes through them (Metz et al. 2017, equation 6). The
    discriminator itself stays where it is.

    Parameters
    ----------
    steps
        1 or more; each costs several plain steps.

    Raises
    ------
    ValueError
        When the generator is to move before the discriminator has seen a batch.

    Examples
    --------
    >>> from ganlib.data import ring
    >>> from ganlib.networks import mlp
    >>> from ganlib.training import fit
    >>> history = fit(mlp(2, 16, 2), mlp(2, 16, 1), ring(), steps=3, options=[unrolled(2)])
    >>> history.steps
    3
    """
    check_count(steps, "steps")

    def option(one: Step) -> Step:
        if one.generator.__module__ == __name__ and "unrolled" in one.generator.__qualname__:
            raise ValueError("unrolled is among the options twice; give it once, with more steps")
        # The same step as a pure function: what it returns can be differentiated.
        thought = pure(one.game, one.optimisers)

        def discriminator(
            state: State, real: Batch, fake: Batch, mix: Tensor | None = None
        ) -> tuple[State, Tensor]:
            state, loss = one.discriminator(state, real, fake, mix)
            seen = {"real": real} if mix is None else {"real": real, "mix": mix}
            return _keep(state, "unrolled", seen), loss

        def generator(
            state: State, latent: Batch, ahead: Ahead | None = None
        ) -> tuple[State, Tensor]:
            if "unrolled" not in state.extra:
                raise ValueError("there is no real batch yet; take a discriminator step first")
            seen = state.extra["unrolled"]

            def further(weights: Tree) -> Player:
                now = state._replace(extra={}).with_weights("generator", weights)
                if ahead is not None:
                    now = now.with_player("discriminator", ahead(weights))
                now, fake = thought.generate(now, latent)
                for _ in range(steps):
                    now, _ = thought.discriminator(now, seen["real"], fake, seen.get("mix"))
                return now.discriminator

            return one.generator(state, latent, further)

        return one._replace(discriminator=discriminator, generator=generator)

    return option


def simultaneous() -> Option:
    """Both players step from where they are, on the same latents.

    The generator is judged by the discriminator as it was before its (last) step, on the latents
    of that step, conditions included; what its own step is given is not used. Code that asks for
    both updates at once plays so: the unrolled GAN's notebook (Metz et al. 2017) and PacGAN's (Lin
    et al. 2018). What it does near an equilibrium is derived in `convergence`.

    With :func:`unrolled` it comes after it in the list; the look ahead then starts where the
    discriminator was, too.

    Raises
    ------
    ValueError
        When the generator is to move before the discriminator has, or with unrolling outside.

    Examples
    --------
    >>> from ganlib.data import ring
    >>> from ganlib.networks import mlp
    >>> from ganlib.training import fit
    >>> history = fit(mlp(2, 16, 2), mlp(2, 16, 1), ring(), steps=3, options=[simultaneous()])
    >>> history.steps
    3
    """

    def option(one: Step) -> Step:
        def generate(state: State, latent: Batch) -> tuple[State, Batch]:
            state, fake = one.generate(state, latent)
            return _keep(state, "simultaneous", {"latent": latent}), fake

        def discriminator(state: State, *batch: Any, **how: Any) -> tuple[State, Tensor]:
            before = state.discriminator
            if one.in_place:  # the step will change the tensors where they are
                weights, slots = _copied((before.weights, before.slots))
                before = before._replace(weights=weights, slots=slots)
            state, loss = one.discriminator(state, *batch, **how)
            seen = {**state.extra.get("simultaneous", {}), "before": before}
            return _keep(state, "simultaneous", seen), loss

        def generator(
            state: State, latent: Batch, ahead: Ahead | None = None
        ) -> tuple[State, Tensor]:
            if ahead is not None:
                raise ValueError(
                    "unrolled stands after simultaneous among the options; put it before"
                )
            seen = state.extra.get("simultaneous", {})
            if set(seen) != {"latent", "before"}:
                raise ValueError(
                    "both players step at once: generate, and take a discriminator step first"
                )
            # Nothing is kept from one turn to the next.
            rest = {name: kept for name, kept in state.extra.items() if name != "simultaneous"}
            state = state._replace(extra=rest)
            return one.generator(state, seen["latent"], lambda weights: seen["before"])

        return one._replace(generate=generate, discriminator=discriminator, generator=generator)

    return option


def _all(state: State) -> Tree:
    return {**state.generator.weights, **state.generator.buffers}


def _copied(tree: Any) -> Any:
    return tree_map(lambda tensor: tensor.detach().clone(), tree)


def _key(state: State, name: str, seed: int, named: dict[str, Any]) -> Tensor:
    """(seed, calls), where the state is, a stream of each option's own (:mod:`ganlib.noise`)."""
    like = next(iter(state.generator.weights.values()))
    stream = int.from_bytes(name.encode()[:4], "big") << 24
    return torch.tensor([stream + (seed << 12) + named.get("seed", 0), 0], device=like.device)


def _next(key: Tensor) -> Tensor:
    return torch.stack([key[0], key[1] + 1])


def _repeated(part: Tensor, size: int) -> Tensor:
    return part[torch.arange(size, device=part.device) % len(part)]


def _like(where: Tensor, values: Tensor) -> Tensor:
    return where.reshape(len(where), *(1 for _ in values.shape[1:]))


def _share(value: float, name: str) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} is {value}; it must be at least 0 and below 1")
