"""The name under which a compiled module is kept says all that it is a function of."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ziglang")

from ganlib import losses, step
from ganlib.lab.compiler import cache


def test_a_key_is_of_the_settings_the_sources_and_what_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.py"
    own.write_text("x = 1")
    keys = [
        cache.key_of("a", [losses, own]),
        cache.key_of("b", [losses, own]),
        cache.key_of("a", [losses, step, own]),
    ]
    assert cache.key_of("a", [losses, own]) == keys[0]
    own.write_text("x = 2")
    keys.append(cache.key_of("a", [losses, own]))
    monkeypatch.setattr(cache, "version", lambda name: f"another {name}")
    keys.append(cache.key_of("a", [losses, own]))
    assert len(set(keys)) == 5
    assert all(key.endswith(".json") and len(key) == 37 for key in keys)
