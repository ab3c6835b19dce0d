"""The laboratory's own page, ``lab.html``: the whole window, apart from the book's theme.

``lab.html?embed`` leaves out what a slide or another site has no use for: the way back, the
settings, the diagram.
"""

from __future__ import annotations

import os
from pathlib import Path

from tools.sources import SITE, toc
from tools.weight import GUARD

NAME = "lab.html"
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>GAN laboratory: train one in this page</title>
<meta name="description" content="A generative adversarial network that trains in your browser: \
see every part of a step, turn every knob, share what you set. From the book GANs: Proof and Play.">
{guard}
<style>
body {{ margin: 0; background: #fbfcfd; color: #1f2328; font-family: system-ui, sans-serif; }}
html[data-theme="dark"] body {{ background: #1a1f26; color: #e4e8ed; }}
.ganlib-still, .ganlib-failed, noscript {{ display: block; max-width: 50rem; margin: 2rem auto; }}
.ganlib-still img {{ max-width: 100%; height: auto; }}
.ganlib-live[data-live="yes"] > .ganlib-still {{ display: none; }}
@media print {{
  .ganlib-live > .ganlib-view {{ display: none !important; }}
  .ganlib-live[data-live="yes"] > .ganlib-still {{ display: block; }}
}}
</style>
</head>
<body>
<main data-stage="{home}">
{laboratory}
<noscript>It trains where scripts may run. <a href="{home}">GANs: Proof and Play</a></noscript>
</main>
</body>
</html>
"""


def page(laboratory: str, home: str) -> str:
    """The page about a live figure in its HTML form, with the address of the book."""
    return PAGE.format(guard=GUARD, laboratory=laboratory, home=home)


def write(site: Path = SITE) -> None:
    """Write the page; the next step of the build moves its figure's data out of it."""
    from ganlib.lab import GanLab  # imports torch, which other tools do not need

    home = os.path.relpath(site / f"{toc()[0]}.html", site)
    (site / NAME).write_text(page(GanLab("collapse", name="stage").page(), home), encoding="utf-8")
