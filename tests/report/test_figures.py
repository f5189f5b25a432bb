"""The drawings of a report: the same whatever settings of his own a user has for matplotlib."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import rc_context

from optim.report.html.figures import svg
from optim.report.html.values import Shares, Winners


@pytest.mark.parametrize("own", [{"figure.autolayout": True}, {"figure.constrained_layout.use": True}])
@pytest.mark.parametrize(
    "drawing", [Shares(("fast", "slow"), (0.7, 0.3)), Winners(np.array([0.1, 0.4, 0.2]), 0.5, "sharpe_ratio")]
)
def test_a_drawing_is_the_same_under_any_settings(drawing, own: dict[str, bool]) -> None:
    plain = svg(drawing, 500, "one")
    with rc_context(own):
        assert svg(drawing, 500, "one") == plain
