"""A figure that shows itself in a notebook, whoever imported what; loading this loads matplotlib."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Picture(Figure):
    """A Figure of its own, drawn by Agg: pyplot would keep it and ask for a display."""

    def __init__(self, width: float, height: float) -> None:
        """width and height in inches."""
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=80)
        return out.getvalue()
