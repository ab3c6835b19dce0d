"""Members of one graph trained in one batch: the pure step, mapped over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganlib.draws import latents, real_batches
from ganlib.inspection import in_mode
from ganlib.optimisers import Adam, Optimiser
from ganlib.step import State, Step, pure, stack, take, turn
from ganlib.studies.member import Member

__all__ = ["by_batch", "not_batched"]


def not_batched(member: Member) -> str | None:
    """Why the pure step, mapped over members, cannot carry one, or None."""
    both = (member.generator, member.discriminator)
    if any(isinstance(m, nn.modules.dropout._DropoutNd) for n in both for m in n.modules()):
        return "a network draws from torch's generator"
    if member.training.conditions is not None:
        return "conditions are not batched"
    if member.training.autocast is not None:
        return "autocast is not batched"
    batch = real_batches(member.data, next(both[0].parameters()))(1, torch.Generator("cpu"))
    return None if isinstance(batch, Tensor) else "conditions are not batched"


def by_batch(members: Sequence[Member], steps: int) -> list[FloatingPointError | None]:
    """Train members that differ in seeds and scalar settings in one batch, in place.

    Returns
    -------
    For each member None, or the error of one whose losses became NaN or infinite.
    """
    first = members[0].training
    steppers = [_pure(member) for member in members]
    with in_mode(True, *(n for m in members for n in (m.generator, m.discriminator))):
        state = stack([one.initial() for one in steppers])
        whole = turn(steppers[0], first.discriminator_steps)

        def tensors(state: State, *draws: Tensor) -> tuple[State, tuple[Tensor, Tensor]]:
            state, losses = whole(state, *draws)
            return state._replace(extra=_without_none(state.extra)), losses

        mapped = torch.func.vmap(tensors)
        draws = [_as_fit_draws(member) for member in members]
        finite = torch.ones(len(members), dtype=torch.bool)
        failed_at = torch.zeros(len(members), dtype=torch.int64)
        for done in range(steps):
            state, losses = mapped(state, *_together([next(draw) for draw in draws]))
            now = finite & torch.isfinite(torch.stack(losses)).all(0)
            failed_at[finite & ~now] = done + 1
            finite = now
    for place, member in enumerate(members):
        mine: State = take(state, place)
        for network, player in (
            (member.generator, mine.generator), (member.discriminator, mine.discriminator)
        ):  # fmt: skip
            network.load_state_dict({**player.weights, **player.buffers}, strict=False)
        member.averaged.update(mine.extra.get("averaged", {}))
    return [
        None if good else FloatingPointError(f"training diverged at step {int(at)}")
        for good, at in zip(finite, failed_at, strict=True)
    ]


def _without_none(tree: Any) -> Any:
    """What an option keeps of a turn, without the places of a penalty that looks at none."""
    if not isinstance(tree, dict):
        return tree
    return {name: _without_none(value) for name, value in tree.items() if value is not None}


def _together(drawn: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
    return [torch.stack(parts) for parts in zip(*drawn, strict=True)]


def _as_fit_draws(member: Member) -> Iterator[tuple[Tensor, ...]]:
    """The draws of a turn, in the order in which ``fit`` takes them from the same seed."""
    training, game = member.training, member.game
    like = next(member.generator.parameters())
    draw_real = real_batches(member.data, like)
    draw_latent = latents(member.generator, training.latent, like)
    rng, mixes = (torch.Generator("cpu").manual_seed(member.seed) for _ in range(2))
    size, pairs = training.batch_size, training.batch_size // training.pack
    while True:
        real: list[Any] = []
        z, mix = [], []
        for _ in range(training.discriminator_steps):
            real.append(draw_real(size, rng))
            z.append(draw_latent(size, rng))
            if game.takes_mix:
                mix.append(torch.rand(pairs, generator=mixes, device="cpu", dtype=like.dtype))
        places = [torch.stack(mix).to(like.device)] if mix else []
        yield torch.stack(real), torch.stack(z), draw_latent(size, rng), *places


def _pure(member: Member) -> Step:
    training = member.training
    beta1, beta2 = training.betas
    adams: tuple[Optimiser, Optimiser] = (
        Adam(training.rates[0], beta1, beta2, training.epsilon),
        Adam(training.rates[1], beta1, beta2, training.epsilon),
    )
    one = pure(
        member.game, training.optimiser or adams, clip=training.bound,
        settings={"penalty": training.penalty_weight},
    )  # fmt: skip
    for option in training.all_options:
        one = option(one)
    return one
