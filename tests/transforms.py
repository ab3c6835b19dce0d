"""One function under everything that torch can do to it: the answers must agree."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx


def check_transforms(
    function: Callable[[Tensor], Tensor], points: Tensor, *, compiled: bool = True
) -> None:
    """Value, slopes and their slopes, in both modes, mapped, recorded, compiled, without data."""

    def total(x: Tensor) -> Tensor:
        return function(x).sum()

    def close(got: Tensor, want: Tensor) -> None:
        eps = torch.finfo(points.dtype).eps
        torch.testing.assert_close(got, want, rtol=64 * eps, atol=64 * eps)

    given = points.clone().requires_grad_()
    value = function(given)
    if not value.requires_grad:  # a constant, as f' of total variation
        torch.testing.assert_close(torch.func.vmap(function)(points[None])[0], value)
        return
    (slope,) = torch.autograd.grad(value.sum(), given, create_graph=True)
    value, once = value.detach(), slope.detach()
    rows = [
        torch.autograd.grad(s, given, retain_graph=True)[0]
        if slope.requires_grad
        else torch.zeros_like(points)
        for s in slope
    ]
    twice = torch.stack(rows)
    assert value.isfinite().all()
    assert once.isfinite().all()
    assert twice.isfinite().all()
    assert value.dtype == points.dtype

    func = torch.func
    seen, tangent = func.jvp(function, (points,), (torch.ones_like(points),))
    close(seen, value)
    close(tangent.sum(), once.sum())
    close(func.jacfwd(total)(points), once)
    close(func.hessian(total)(points), twice)  # forward over reverse
    close(func.jacrev(func.jacfwd(total))(points), twice)
    close(func.jacrev(func.jacrev(total))(points), twice)
    close(func.vmap(function)(points.expand(3, *points.shape))[1], value)
    close(func.vmap(func.grad(total))(points.expand(3, *points.shape))[1], once)
    close(make_fx(func.grad(total))(points)(points), once)
    assert function(points.to("meta")).shape == value.shape
    if not compiled:
        return

    def both(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        forward = func.jvp(total, (x,), (torch.ones_like(x),))[1]
        bends = func.grad(lambda x: func.grad(total)(x).sum())(x)
        return function(x), func.grad(total)(x), bends, forward

    torch.compiler.reset()
    whole = torch.compile(both, fullgraph=True, backend="eager")
    for got, want in zip(whole(points), (value, once, twice.sum(0), once.sum()), strict=True):
        close(got, want)
    plain = torch.compile(function, fullgraph=True, backend="eager")
    close(torch.autograd.grad(plain(given).sum(), given)[0], once)
