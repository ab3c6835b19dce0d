"""Data files: on disk already, or downloaded once, with a checksum; and how they are read.

They lie in ``$GANLIB_DATA``, else in the user's cache. Nothing is downloaded when a module is
imported.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["BrokenImageError", "OfflineError", "fetch", "folder", "read_idx", "read_image"]


class BrokenImageError(ValueError):
    """A file that should hold an image does not."""


class OfflineError(ConnectionError):
    """A data file is neither on disk nor to be had from the network.

    Examples
    --------
    >>> issubclass(OfflineError, OSError)
    True
    """


def folder() -> Path:
    """The folder of the data files: ``$GANLIB_DATA``, else one in the user's cache.

    Raises
    ------
    NotADirectoryError
        If ``$GANLIB_DATA`` is a file.
    """
    chosen = os.environ.get("GANLIB_DATA")
    if chosen:
        place = Path(chosen).expanduser()
        if place.is_file():
            raise NotADirectoryError(
                f"GANLIB_DATA is {place}, a file; set it to the folder that holds the data files"
            )
        return place
    import pooch

    return Path(pooch.os_cache("ganlib"))


def sha256(path: Path) -> str:
    """The SHA-256 checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(name: str, checksum: str, mirrors: Sequence[str], subfolder: str = "") -> Path:
    """The path of a data file with this SHA-256 checksum: on disk already, or downloaded now.

    Raises
    ------
    OfflineError
        If it is not on disk and no mirror delivers it.
    ValueError
        If the file on disk has another checksum.
    OSError
        If the folder cannot be written to.
    """
    place = folder() / subfolder
    path = place / name
    if path.exists():
        found = sha256(path)
        if found != checksum:
            raise ValueError(
                f"{path} has the SHA-256 checksum {found}, expected {checksum}: it is damaged or "
                "another file; delete it, and it will be downloaded again"
            )
        return path
    import pooch
    import requests

    _check_writable(place)
    pooch.get_logger().setLevel("WARNING")  # the bar says what is being downloaded
    failures = []
    for mirror in mirrors:
        try:
            # pooch downloads to a temporary name and moves the file once its checksum is right.
            got = pooch.retrieve(
                mirror + name, f"sha256:{checksum}", fname=name, path=place,
                downloader=pooch.HTTPDownloader(timeout=10, progressbar=True),
            )  # fmt: skip
            return Path(got)
        except (ValueError, requests.RequestException) as error:
            failures.append(f"{mirror} ({type(error).__name__})")
    raise OfflineError(
        f"{name} is not in {place} and could not be downloaded from {' or '.join(failures)}; "
        "connect to the network, or put the file there, or set GANLIB_DATA to a folder that "
        f"holds {Path(subfolder) / name}"
    )


def _check_writable(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise type(error)(
            f"data files go to {place}, and nothing can be written there "
            f"({error.strerror or error}); set the environment variable GANLIB_DATA to a folder "
            "that you may write to, or to one that holds the files already"
        ) from error


def read_image(file: Any, name: str, mode: str = "RGB", size: int | None = None) -> np.ndarray:
    """An image file the right way up, as bytes (height, width, channels), cut square to ``size``.

    Raises a :class:`BrokenImageError` that gives ``name`` for what is no image.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            if size is not None:  # a photograph of 12 megapixels need not be decoded in full
                opened.draft(None, (2 * size, 2 * size))
            image = _flat(ImageOps.exif_transpose(opened)).convert(mode)
    # A broken PNG is a SyntaxError to Pillow, broken EXIF a struct.error, a bomb none of them.
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise BrokenImageError(f"{name} cannot be read as an image ({error}); remove it") from error
    if size is not None:
        image = ImageOps.fit(image, (size, size))
    return np.atleast_3d(np.asarray(image))


def _flat(image: Image) -> Image:
    # Of a kind that `convert` scales right: greys of 16 bits to 8, transparency onto white.
    from PIL import Image as pil

    if image.mode.startswith("I"):
        return pil.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return pil.alpha_composite(pil.new("RGBA", image.size, "white"), image)
    return image


def read_idx(path: Path) -> np.ndarray:
    """An array in the IDX format of MNIST: two zero bytes, dtype, rank, sizes, values."""
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    if content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is no IDX file of bytes: it starts with {content[:3]!r}")
    shape = tuple(np.frombuffer(content, ">i4", rank, offset=4))
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()
