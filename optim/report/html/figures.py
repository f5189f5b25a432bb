"""Drawings as SVG. Colours become the page's own variables, so that one drawing is for light and dark."""

from __future__ import annotations

import io
import re
from typing import Any

from optim.record.quiet import no_warnings
from optim.report.html.artists import ARTISTS, COLOURS, INK, MUTED, RULE
from optim.report.html.values import Drawing

_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "optim", "text.parse_math": False, "font.size": 11,
    "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": RULE, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": RULE, "grid.linewidth": 0.8, "axes.axisbelow": True,
    "xtick.major.size": 0, "ytick.major.size": 0, "ytick.minor.size": 0, "xtick.minor.size": 0,
    "legend.frameon": False, "legend.handlelength": 1.4, "lines.solid_capstyle": "round",
    "figure.autolayout": False, "figure.constrained_layout.use": False,
    "axes.unicode_minus": True, "path.simplify": True, "axes.titlesize": 11, "axes.titlecolor": INK,
}  # fmt: skip


def svg(drawing: Drawing, width: int, name: str) -> str:
    """The drawing as an <svg> element, so many pixels wide, without any reference to the outside.

    name: what it shares with no other drawing of the page.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    draw, height = ARTISTS[type(drawing)]
    with no_warnings(), mpl.rc_context(_STYLE):  # the one way to set these; no other thread in between
        tall = height(drawing, width)
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.04, hspace=0.02, wspace=0.04)
        made = Figure(figsize=(width / 72, tall / 72))
        FigureCanvasSVG(made)
        draw(made, drawing)
        layout.execute(made)  # once; a figure that has a layout is drawn twice
        out = io.StringIO()
        made.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(out.getvalue(), name, width, round(tall))


def _inline(text: str, name: str, width: int, height: int) -> str:
    """An SVG file as an element of a page: no prologue, no names that two drawings share, the page's colours."""
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text[text.index("<svg") :], flags=re.S)
    head = f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
    text = head + text[text.index(">") + 1 :]
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)  # groups' names; what is referred to has no underscore
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    for colour, stand_in in COLOURS.items():
        text = text.replace(stand_in, f"var(--{colour})")
    return re.sub(r"\s*\n\s*", "\n", text)
