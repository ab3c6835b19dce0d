"""The benchmark compares like with like and reports what it measured; nothing here is timed."""

from __future__ import annotations

import functools
import shutil

import pytest
import torch

from tools import bench


def test_both_loops_run(monkeypatch) -> None:
    monkeypatch.setattr(bench, "STEPS", 3)
    for comparison in bench.COMPARISONS:
        runs = bench.measure(comparison, pairs=2)
        assert len(runs) == 2
        assert all(rate > 0 for pair in runs for rate in pair)


def test_a_compiled_step_runs_for_one_and_for_many(monkeypatch) -> None:
    monkeypatch.setattr(bench, "STEPS", 3)
    plain = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", lambda f, fullgraph: plain(f, fullgraph=fullgraph))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    rows = list(bench.compiled_comparisons())
    assert len(rows) == 2
    assert rows[0].ours() > 0
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert list(bench.compiled_comparisons()) == []


def test_the_report_gives_the_median_ratio() -> None:
    line = bench.report(bench.COMPARISONS[0], [(30.0, 10.0), (20.0, 10.0), (90.0, 15.0)])
    assert line.split()[-6:] == ["30", "10", "3.00", "(2.00", "to", "6.00)"]


@pytest.mark.parametrize("where", ["Chromium", "Node"])
def test_the_compiled_step_runs_where_a_page_runs_it(monkeypatch, where: str) -> None:
    pytest.importorskip("ziglang")
    if where == "Chromium" and not bench._has_browser():
        pytest.skip("there is no browser, or BROWSER=none")
    if where == "Node" and shutil.which("node") is None:
        pytest.skip("there is no Node")
    monkeypatch.setattr(bench, "STEPS", 3)
    monkeypatch.setattr(bench, "_has_browser", lambda: where == "Chromium")
    with bench.page_loop(8, 16) as (named, rate):
        assert named == where
        assert rate() > 0
        assert rate() > 0
