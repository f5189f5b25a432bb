"""The snippets of the pages: every fenced block, as a reader would use it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ASIDE = ROOT / "docs" / "architecture.md"  # its blocks are sketches: signatures without bodies, the way of a trial


class Page:
    """README.md, or a page of docs/ by its path."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (ROOT / name).read_text(encoding="utf-8")
        self.fenced = re.findall(r"^```(\w*)\n(.*?)^```", self.text, re.MULTILINE | re.DOTALL)

    def blocks(self, language: str) -> list[str]:
        """The blocks in a language, in order; those that are whole files among them."""
        return [text for kind, text in self.fenced if kind == language]

    def files(self) -> dict[str, str]:
        """The blocks whose first line is a comment with a file's name, `# breakout.py`, by this name."""
        named = {text: re.match(r"# (\w+\.\w+)\n", text) for _, text in self.fenced}
        return {found[1]: text for text, found in named.items() if found}

    def commands(self) -> list[str]:
        """The lines for a shell, without their comments."""
        lines = [line.partition("  #")[0].strip() for text in self.blocks("bash") for line in text.splitlines()]
        return [line for line in lines if line]

    def optim_commands(self) -> list[str]:
        """What follows `python -m optim` or `optim`, in blocks and in the text; `[A | B]` as two commands."""
        prose = re.sub(r"^```.*?^```", "", self.text, flags=re.MULTILINE | re.DOTALL)
        lines = [*self.commands(), *re.findall(r"`((?:python -m )?optim [^`\n]+)`", prose)]
        found = []
        for match in (
            re.match(r"(?:env -u \w+ )?(?:python -m )?optim (.+)", line.replace("\\|", "|")) for line in lines
        ):
            if match:
                command, _, choice = match[1].partition(" [")
                found += [f"{command} {one}".strip() for one in choice.removesuffix("]").split(" | ")]
        return found

    def run(self, namespace: dict[str, Any] | None = None) -> str:
        """What the Python blocks print, one after the other in one namespace; those that are files are left out."""
        namespace = {} if namespace is None else namespace
        printed, files = io.StringIO(), self.files().values()
        with contextlib.redirect_stdout(printed):
            for number, code in enumerate(self.blocks("python"), 1):
                if code not in files:
                    exec(compile(code, f"{self.name}, python snippet {number}", "exec"), namespace)  # noqa: S102
        return printed.getvalue()

    def promised(self) -> str:
        """What the Python blocks say they print: the comments behind a call of print, and whole lines of comments."""
        code = "\n".join(code for code in self.blocks("python") if code not in self.files().values())
        return "".join(f"{line}\n" for line in re.findall(r"(?:^\s*print\(.*\)  |^)# (.+)$", code, re.MULTILINE))


def all_pages() -> list[str]:
    """README.md and every page of docs/."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in found]


def pages_with_snippets() -> set[str]:
    """All pages with a fenced block, but the one on architecture."""
    return {name for name in all_pages() if ROOT / name != ASIDE and Page(name).fenced}
