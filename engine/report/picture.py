"""A figure that shows itself in a notebook, whoever imported what; loading this loads matplotlib."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Picture(Figure):
    """A Figure of its own, drawn by Agg: pyplot would keep it and ask for a display."""

    def __init__(self, width: float, height: float) -> None:
        """width and height in inches."""
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def write(self, out: Path | io.BytesIO, dpi: float) -> None:
        """Save it as PNG, laid out as it is now; `savefig` draws all of it once more only to lay it out."""
        engine, before = self.get_layout_engine(), self.dpi
        self.set_dpi(dpi)
        if engine is not None:
            engine.execute(self)
            self.set_layout_engine(None)
        try:
            self.savefig(out, format="png", dpi=dpi)
        finally:
            self.set_layout_engine(engine)
            self.set_dpi(before)

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.write(out, dpi=80)
        return out.getvalue()
