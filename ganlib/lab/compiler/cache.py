"""What was compiled is kept among the user's caches, and read again only if it is whole."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pooch

__all__ = ["kept"]

_DIGEST = hashlib.sha256().digest_size


def kept(key: str, make: Callable[[], bytes]) -> bytes:
    """What ``make`` returns: from the cache where a whole file of this key is there, else made.

    A file ends with the digest of what stands before it, so that a truncated one, or one that
    something else wrote, is made again.

    Parameters
    ----------
    key
        A file name that says all that the content depends on, such as a digest.
    make
        Called without arguments.
    """
    place = Path(pooch.os_cache("ganlib")) / "wasm" / key
    if place.is_file():
        content, digest = (whole := place.read_bytes())[:-_DIGEST], whole[-_DIGEST:]
        if hashlib.sha256(content).digest() == digest:
            return content
    content = make()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as partial:
        try:
            partial.write(content + hashlib.sha256(content).digest())
            partial.flush()
            os.replace(partial.name, place)  # a half-written file never has the name
        except BaseException:
            os.unlink(partial.name)
            raise
    return content
