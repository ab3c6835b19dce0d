"""Figures as small as they may be without a visible difference, and the size of each.

An SVG of Matplotlib writes six decimals of a point where a hundredth cannot be seen, and embeds
what is made of pixels as PNG. Here coordinates keep two decimals, and pixels become WebP: without
loss, or with one of at most two steps of 255 in any pixel on any ground.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

STEPS = 2.0  # of 255: what a pixel may lose
LARGE = 10_000  # bytes of a picture without loss, from which one with loss is tried
COORDINATES = re.compile(r'(\s(?:d|x|y|points)=")([^"]*)"')
DECIMALS = re.compile(r"(-?\d*\.\d{2})(\d+)")
PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
LENGTH = re.compile(r"([\d.]+)\s*(pt|px|in|)$")
PIXELS = {"pt": 4 / 3, "in": 96.0, "px": 1.0, "": 1.0}


def _rounded(match: re.Match[str]) -> str:
    text = f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def loss(one: Image.Image, other: Image.Image) -> float:
    """The largest difference of a pixel of two pictures, of 255, over black or over white."""
    a, b = (np.asarray(image.convert("RGBA"), dtype=float) for image in (one, other))
    black = [x[..., :3] * x[..., 3:] / 255 for x in (a, b)]
    white = [shown + 255 - x[..., 3:] for shown, x in zip(black, (a, b), strict=True)]
    return max(float(np.abs(x - y).max()) for x, y in (black, white))


def _encoded(image: Image.Image, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", **options)
    return out.getvalue()


def webp(png: bytes) -> bytes | None:
    """A picture as WebP, if that is smaller."""
    image: Image.Image = Image.open(io.BytesIO(png))
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA")
    found = _encoded(image, lossless=True)
    if len(found) > LARGE:
        lossy = _encoded(image, quality=90)
        if len(lossy) < len(found) and loss(image, Image.open(io.BytesIO(lossy))) <= STEPS:
            found = lossy
    return found if len(found) < len(png) else None


def slim(svg: str) -> str:
    """The same figure in fewer bytes."""

    def pixels(match: re.Match[str]) -> str:
        data = webp(base64.b64decode(re.sub(r"\s", "", match[1])))
        return f"data:image/webp;base64,{base64.b64encode(data).decode()}" if data else match[0]

    def coordinates(match: re.Match[str]) -> str:
        return f'{match[1]}{DECIMALS.sub(_rounded, " ".join(match[2].split()))}"'

    return PNG.sub(pixels, COORDINATES.sub(coordinates, svg))


def _length(text: str) -> float | None:
    found = LENGTH.match(text.strip())
    return float(found[1]) * PIXELS[found[2]] if found else None


def svg_size(text: str) -> tuple[int, int] | None:
    """The size of an SVG in CSS pixels, by its root element; None if it says none."""
    root = re.search(r"<svg\b[^>]*>", text)
    if not root:
        return None
    sides = [re.search(rf'\s{side}="([^"]*)"', root[0]) for side in ("width", "height")]
    lengths = [_length(side[1]) if side else None for side in sides]
    box = re.search(r'\sviewBox="([^"]*)"', root[0])
    if None in lengths and box:
        lengths = [float(x) for x in re.split(r"[\s,]+", box[1].strip())[2:]]
    width, height = (round(x or 0) for x in lengths)
    return (width, height) if width and height else None


def size(path: Path) -> tuple[int, int] | None:
    """The size of a picture's file in CSS pixels; None if it cannot be told."""
    if not path.is_file():
        return None
    if path.suffix == ".svg":
        with path.open(encoding="utf-8") as file:
            return svg_size(file.read(4000))
    with Image.open(path) as image:
        return image.size
