"""Pictures to files: a grid in one PNG, or one PNG each."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganlib.command.models import write_whole

__all__ = ["columns", "png", "write_each", "write_grid"]

_GAP = 2  # pixels between the pictures of a grid
_MOST = 20  # pictures in a row


def columns(count: int, classes: tuple[str, ...] = ()) -> int:
    """How many pictures a row of a grid has: about as many as rows; a class keeps to its column."""
    side = math.sqrt(count)
    kinds = len(classes) if len(classes) <= _MOST else 1
    return min(_MOST, math.ceil(side)) if kinds < 2 else kinds * max(1, round(side / kinds))


def write_grid(path: Path, pictures: Tensor, columns: int) -> None:
    """Pictures (N, channels, height, width) in [-1, 1], in rows of ``columns``, as one PNG."""
    count, channels, height, width = pictures.shape
    rows = -(-count // columns)
    cells = pictures.new_ones(rows * columns, channels, height + _GAP, width + _GAP)
    cells[:count, :, :height, :width] = pictures
    cells = cells.reshape(rows, columns, *cells.shape[1:]).permute(2, 0, 3, 1, 4)
    grid = cells.reshape(channels, rows * (height + _GAP), columns * (width + _GAP))
    write_whole(path, png(grid[:, :-_GAP, :-_GAP]))


def write_each(folder: Path, pictures: Tensor, names: list[str]) -> None:
    """Pictures (N, channels, height, width) in [-1, 1], each as a PNG of its name in a folder."""
    for name, picture in zip(names, pictures, strict=True):
        write_whole(folder / f"{name}.png", png(picture))


def png(picture: Tensor) -> bytes:
    """A picture (channels, height, width) in [-1, 1], grey or in colour, as the bytes of a PNG."""
    from PIL import Image

    bytes_of_it = ((picture.detach().cpu().float() + 1) * 127.5).round().clamp(0, 255)
    array = np.asarray(bytes_of_it.to(torch.uint8).permute(1, 2, 0))
    written = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(written, "PNG")
    return written.getvalue()
