"""The output of a notebook's cell as a console: progress is renewed in place, all else is printed."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from optim.report.terminal import Terminal
from optim.report.view import Quiet, View


class CellConsole(Console):
    """A console whose `renew` replaces what it showed before."""

    def __init__(self) -> None:
        super().__init__(force_terminal=False, force_jupyter=False, no_color=True, width=120)
        self._shown: Any = None

    def renew(self, text: str) -> None:
        """Show a text in the place of the last one."""
        from IPython.display import display

        content = {"text/plain": text}
        if self._shown is None:
            self._shown = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(content, raw=True)


def watching() -> View:
    """Who watches a run that nobody was given for: the cell of a notebook, elsewhere nobody."""
    ipython = sys.modules.get("IPython")  # a notebook has it; nobody else is to wait for it
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        return Quiet()
    console = CellConsole()
    return Terminal(console, tables=False, progress=console)
