"""The documentation as a site: `make docs`."""

from typing import Any

from optim import __version__

project = "optim"
version = release = __version__
copyright = "optim, MIT licence"  # noqa: A001 - the name Sphinx reads
extensions = ["myst_nb", "sphinx.ext.autodoc"]
nb_execution_mode = "off"  # the notebook keeps its outputs; the tests execute it
exclude_patterns = ["images"]
html_theme = "pydata_sphinx_theme"
html_title = "optim"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": False,
    "header_links_before_dropdown": 7,
}
html_static_path = ["_static"]
html_css_files = ["wide.css"]  # tables of rules need more room than prose
html_copy_source = True  # every page also as .md: _sources/
html_sourcelink_suffix = ""
myst_heading_anchors = 3
myst_links_external_new_tab = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True


def _plain(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text: bars and stars in them are no markup."""
    lines[:] = [line.replace("|", "\\|").replace("*", "\\*") for line in lines]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _plain)
