"""How a condition enters a network: beside its input, beside its features, or by a product.

A conditional generator is called with (z, y), a conditional critic with (x, y). First y becomes a
row c of numbers: a class number a one-hot row, any other condition itself; then, where there is
one, an ``embedding`` maps the row to another. It is any module of torch's:
``nn.Linear(10, 200, bias=False)`` (what ``nn.Embedding(10, 200)`` is on class numbers),
``nn.Sequential(nn.Linear(10, 10), nn.Sigmoid())``, or ``mlp(1, 64, 64)`` for a context of one
number. With features h(x), raw outputs are

    Conditional       f(x, c)               the condition beside the input
    JoinedFeatures    head(h(x), c)         the condition beside the last features
    Projection        head(h(x)) + <c, h>   the condition as a direction among the features

A linear head makes the second one additive, a(x) + b(y): its slope in x is the same for every
condition. Derived in `conditional`, measured in `ignored-labels`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganlib.checks import check_count, readable

__all__ = ["Conditional", "JoinedFeatures", "Projection"]


class _Conditioned(nn.Module):
    """What they share: from a condition to its row."""

    embedding: nn.Module | None

    def _take(self, classes: int | None, embedding: nn.Module | None) -> None:
        if classes is not None:
            check_count(classes, "classes")
        if embedding is not None:
            layers = [layer for layer in embedding.modules() if not list(layer.children())]
            if layers and isinstance(layers[0], nn.Embedding):
                raise TypeError(
                    f"the embedding begins with {layers[0]}, which takes class numbers, not rows; "
                    f"pass torch.nn.Linear({layers[0].num_embeddings}, "
                    f"{layers[0].embedding_dim}, bias=False), the same function of one-hot rows"
                )
        self.classes, self.embedding = classes, embedding

    @property
    def condition_width(self) -> int | None:
        """How many numbers the row has; None where it is nowhere written."""
        if self.embedding is None:
            return self.classes
        linear = [layer for layer in self.embedding.modules() if isinstance(layer, nn.Linear)]
        return linear[-1].out_features if linear else None

    def _row(self, y: Tensor, like: Tensor) -> Tensor:
        """Conditions (N, ...) as rows (N, width), in the dtype of ``like``."""
        if self.classes is not None:
            y = _one_hot(y, self.classes)
        row = y.to(like.dtype).reshape(len(y), -1)
        return row if self.embedding is None else self.embedding(row)


class Conditional(_Conditioned):
    """A network with a condition: its input and the condition y side by side.

    A generator is called with (z, y), a critic with (x, y) (Mirza and Osindero 2014). A class
    number becomes a one-hot row, any other condition (N, width) or (N,) is taken as it is; beside
    images each number of the row is a constant channel.

    Parameters
    ----------
    network
        Its input is wider by the condition: ``mlp(2 + 8, 64, 2)`` for 8 classes,
        ``dcgan_discriminator(channels=1 + 8)`` beside grey images.
    classes
        How many classes y (N,) counts, from 0; None for a condition of numbers.
    embedding
        From rows (N, classes), or (N, width) of numbers, to the rows that stand beside the input.

    Raises
    ------
    ValueError
        When called with class numbers outside 0, ..., classes - 1, or not one a sample.
    TypeError
        For an embedding that takes class numbers.

    Examples
    --------
    >>> generator = Conditional(mlp(2 + 8, 16, 2), classes=8)
    >>> generator(torch.zeros(3, 2), torch.tensor([0, 1, 7])).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        network: nn.Module,
        classes: int | None = None,
        *,
        embedding: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self._take(classes, embedding)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        row = self._row(y, x)
        row = row.reshape(*row.shape, *(1 for _ in x.shape[2:]))
        return self.network(torch.cat([x, row.expand(*row.shape[:2], *x.shape[2:])], dim=1))


class JoinedFeatures(_Conditioned):
    """A critic that meets the condition after its features: head(h(x), c).

    A linear head is additive, a(x) + b(y): then nothing in the slope in x depends on y, and
    a generator that ignores its label is at rest (`conditional`). A head with a hidden layer,
    ``mlp(100 + 10, 128, 1)``, is not.

    Parameters
    ----------
    features
        From samples (N, ...) to features (N, F).
    head
        From features and row, (N, F + width), to one raw output each.
    classes, embedding
        As for :class:`Conditional`; errors too.

    Examples
    --------
    >>> critic = JoinedFeatures(mlp(2, 16, 4), mlp(4 + 8, 1), classes=8)
    >>> critic(torch.zeros(3, 2), torch.tensor([0, 1, 7])).shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        features: nn.Module,
        head: nn.Module,
        classes: int | None = None,
        *,
        embedding: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.features, self.head = features, head
        self._take(classes, embedding)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.features(x)
        return self.head(torch.cat([h, self._row(y, h)], dim=1))


class Projection(_Conditioned):
    """The projection discriminator (Miyato and Koyama 2018): head(h(x)) + <c, h(x)>.

    For classes whose log-odds are linear in the features, ``embedding=nn.Linear(10, F,
    bias=False)`` makes it the optimal critic's form: one direction for each class.

    Parameters
    ----------
    features, head
        From samples (N, ...) to features (N, F); from these to one raw output each.
    classes
        As for :class:`Conditional`; errors too.
    embedding
        From rows to directions (N, F).

    Examples
    --------
    >>> embedding = torch.nn.Linear(8, 4, bias=False)
    >>> critic = Projection(mlp(2, 16, 4), mlp(4, 1), classes=8, embedding=embedding)
    >>> critic(torch.zeros(3, 2), torch.tensor([0, 1, 7])).shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        features: nn.Module,
        head: nn.Module,
        classes: int | None = None,
        *,
        embedding: nn.Module,
    ) -> None:
        super().__init__()
        self.features, self.head = features, head
        self._take(classes, embedding)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.features(x)
        return self.head(h) + (self._row(y, h) * h).sum(1, keepdim=True)


def _one_hot(y: Tensor, classes: int) -> Tensor:
    # Not torch's: under vmap and on the meta device that cannot look at the numbers.
    numbers = torch.arange(classes, device=y.device)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(
            f"the classes have shape {tuple(y.shape)}; pass one number a sample, (N,), such as "
            "one_hot.argmax(1), or make the network without classes="
        )
    hot = y[:, None] == numbers
    if readable(y) and not hot.any(1).all():
        raise ValueError(
            f"the classes reach from {y.min().item()} to {y.max().item()}; they are numbers "
            f"from 0 to {classes - 1}"
        )
    return hot
