"""What commands print on: a terminal, plainly where its user asks for it; a pipe or a file, without blanks at ends."""

from __future__ import annotations

import os
import re
from typing import Any

from rich.console import Console


class Screen(Console):
    """A console that styles nothing where NO_COLOR is set, and ends no line with blanks where it is no terminal."""

    def __init__(self, **how: Any) -> None:
        plain = bool(os.environ.get("NO_COLOR"))  # rich alone leaves bold and italic letters
        super().__init__(**{"color_system": None if plain else "auto", **how})

    def print(self, *objects: Any, **how: Any) -> None:
        """As rich does it; in a pipe or a file the lines of a table end with its frame or its last letter."""
        if self.is_terminal and not self.is_dumb_terminal:
            super().print(*objects, **how)
            return
        with self.capture() as captured:
            super().print(*objects, **how)
        text = re.sub(" +\n", "\n", captured.get())
        super().print(
            text, end="", markup=False, emoji=False, highlight=False, no_wrap=True, crop=False, overflow="ignore"
        )
