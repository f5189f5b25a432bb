"""A page as one file: template and style filled in, written whole or not at all."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from optim.record.files import PAGE, replace_whole
from optim.report.html.artists import NARROW, WIDE
from optim.report.html.figures import svg
from optim.report.html.values import Chart, Missing, Page, Table

_FOLDER = Path(__file__).parent


def as_html(page: Page) -> str:
    """The page: one text, complete in itself."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    number = itertools.count(1)
    kinds = {"chart": Chart, "table": Table, "missing": Missing}
    return PAGE.decode() + environment.get_template("report.html").render(
        page=page,
        style=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),
        kind=lambda block: next((name for name, kind in kinds.items() if isinstance(block, kind)), "text"),
        svg=lambda chart, width: Markup(svg(chart.drawing, width, f"drawing{next(number)}")),
        widths={"wide": WIDE, "narrow": NARROW},
    )


def write_page(page: Page, file: Path) -> None:
    """Write the page; an earlier one stays whole until this one is. Raises OSError."""
    text = as_html(page).encode("utf-8", "replace")
    replace_whole(file, lambda handle: handle.write(text))


def file_name(study: str) -> str:
    """The file of a study's report, where none is named."""
    return (re.sub(r"[^\w.-]+", "_", study).strip(".") or "study") + ".html"
