"""Pictures of a backtest: what is written is what matplotlib would save, and changes no picture."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from matplotlib import rc_context

from engine import BacktestEngine, load_bars
from engine.report.figures import equity_figure, monthly_figure, trades_figure
from tests.studies import IBM


@pytest.mark.parametrize("draw", [equity_figure, trades_figure, monthly_figure])
@pytest.mark.parametrize("dpi", [80, 120])
@pytest.mark.parametrize(
    "own", [{}, {"figure.autolayout": True}, {"figure.constrained_layout.use": True}, {"savefig.bbox": "tight"}]
)
def test_what_is_written_is_what_matplotlib_saves(draw, dpi: int, own: dict[str, bool], tmp_path: Path) -> None:
    result = BacktestEngine().run_realistic(load_bars(IBM), "ma_crossover", {"fast_window": 5, "slow_window": 20})
    picture = draw(result)
    before = picture.dpi, picture.get_layout_engine()
    with rc_context(own):
        picture.write(tmp_path / "written.png", dpi)
    written = (tmp_path / "written.png").read_bytes()
    assert (picture.dpi, picture.get_layout_engine()) == before
    saved = []
    for one in (draw(result), picture):  # one that was never written, and the one that was
        out = io.BytesIO()
        with rc_context(own):
            one.savefig(out, format="png", dpi=dpi)
        saved.append(out.getvalue())
    assert saved == [written, written]
