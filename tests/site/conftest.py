"""The built site, served from a sub-path, and one browser for all its tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import browser as finder
from tools.serve import server
from tools.sources import SITE, toc

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SUBPATH = "some/sub-path"


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").is_file():
        pytest.fail("there is no site yet: run `make book` first")
    return SITE


@pytest.fixture(scope="session")
def address(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site below a sub-path, as on a project's public pages."""
    root = tmp_path_factory.mktemp("host")
    (root / SUBPATH).parent.mkdir(parents=True)
    (root / SUBPATH).symlink_to(site, target_is_directory=True)
    http = server(root)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}/{SUBPATH}"
    http.shutdown()


@pytest.fixture(scope="session")
def chromium():  # type: ignore[no-untyped-def]
    if finder.skipped():
        pytest.skip(finder.SKIPPED)
    from playwright.sync_api import sync_playwright

    try:
        path = finder.find()
    except FileNotFoundError as error:
        pytest.fail(str(error))
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


def page_names() -> list[str]:
    return [*toc(), "index", "genindex", "search"]
