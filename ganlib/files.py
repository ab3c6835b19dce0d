"""Data files: on disk already, or downloaded once, with a checksum.

They lie in ``$GANLIB_DATA``, else in the user's cache. Nothing is downloaded when a module is
imported.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["OfflineError", "fetch", "folder"]


class OfflineError(ConnectionError):
    """A data file is neither on disk nor to be had from the network."""


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
