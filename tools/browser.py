"""Find a Chromium-like browser for the tests that open the site."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
)
PLACES = (
    "/usr/bin/chromium",
    "/snap/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
MISSING = """\
No browser was found for the tests that open the built site. Any one of these helps:
  - install Chromium, Chrome or Edge (Debian, Ubuntu: sudo apt-get install chromium;
    macOS: brew install --cask chromium);
  - name one that is already there: make test CHROMIUM=/path/to/chromium;
  - skip these tests knowingly: make test BROWSER=none."""
SKIPPED = "BROWSER=none: the site was built but NOT tested in a browser."


def skipped() -> bool:
    """Whether the caller asked to leave the browser tests out."""
    return os.environ.get("BROWSER", "").lower() == "none"


def find() -> str:
    """The path of a browser: $CHROMIUM, then the usual names and places."""
    named = os.environ.get("CHROMIUM")
    if named:
        path = shutil.which(named)
        if path is None:
            raise FileNotFoundError(
                f"CHROMIUM names {named!r}, which is not a program that can be run; name an "
                "existing browser, or leave CHROMIUM unset to have the usual places searched"
            )
        return path
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    for place in PLACES:
        if Path(place).is_file() and os.access(place, os.X_OK):
            return place
    raise FileNotFoundError(MISSING)


def main() -> int:
    if skipped():
        print(SKIPPED)
        return 0
    try:
        print(f"browser for the site tests: {find()}")
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
