"""Slow tests: `make test-all` runs them, `make test` does not collect them.

They open the built site (`make book`). A browser or a program that is not here skips what needs
it, with the reason.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from browsing import address, chromium, site

__all__ = ["address", "chromium", "site"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
