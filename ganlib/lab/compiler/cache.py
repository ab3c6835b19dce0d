"""What was compiled is kept among the user's caches, and read again only if it is whole."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pooch

__all__ = ["kept", "key_of"]

_DIGEST = hashlib.sha256().digest_size


def key_of(what: str, sources: Iterable[ModuleType | Path]) -> str:
    """A file name for a compiled module: the digest of all that it is a function of.

    Recording functions takes longer than a page may, so that a module is found without it.

    Parameters
    ----------
    what
        Its settings, in words.
    sources
        The modules and files that its functions are made from; the compiler is always one.
    """
    folder = Path(__file__).parent
    files = [Path(str(s.__file__)) if isinstance(s, ModuleType) else s for s in sources]
    files += [*sorted(folder.glob("*.py")), folder.with_name("runtime.c")]
    made_by = [sys.version, *(version(name) for name in ("torch", "sympy", "ziglang"))]
    parts = [file.read_bytes() for file in files] + [f"{what} {made_by}".encode()]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    return f"{digest[:32]}.json"


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
