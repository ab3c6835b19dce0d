"""The benchmark compares like with like and reports what it measured; nothing here is timed."""

from __future__ import annotations

from tools import bench


def test_both_loops_run(monkeypatch) -> None:
    monkeypatch.setattr(bench, "STEPS", 3)
    for comparison in bench.COMPARISONS:
        runs = bench.measure(comparison, pairs=2)
        assert len(runs) == 2
        assert all(rate > 0 for pair in runs for rate in pair)


def test_the_report_gives_the_median_ratio() -> None:
    line = bench.report(bench.COMPARISONS[0], [(30.0, 10.0), (20.0, 10.0), (90.0, 15.0)])
    assert line.split()[-6:] == ["30", "10", "3.00", "(2.00", "to", "6.00)"]
