"""A figure that shows itself in a notebook, whoever imported what; loading this loads matplotlib."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib import rcParams
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Picture(Figure):
    """A Figure of its own, drawn by Agg: pyplot would keep it and ask for a display."""

    def __init__(self, width: float, height: float) -> None:
        """width and height in inches."""
        super().__init__(figsize=(width, height), layout="constrained")
        self._only_lay_out = False
        FigureCanvasAgg(self)

    def write(self, out: Path | io.BytesIO, dpi: float) -> None:
        """Save it as PNG: what `savefig` saves, sooner. That draws all twice, once only to lay it out."""
        self._only_lay_out = rcParams["savefig.bbox"] is None and self.get_layout_engine() is not None
        try:
            self.savefig(out, format="png", dpi=dpi)
        finally:
            self._only_lay_out = False

    def draw(self, renderer: RendererBase) -> None:
        """As matplotlib asks for it."""
        engine = self.get_layout_engine()
        if not self._only_lay_out or engine is None:
            super().draw(renderer)
            return
        self._only_lay_out = False
        engine.execute(self)

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.write(out, dpi=80)
        return out.getvalue()
