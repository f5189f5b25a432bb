"""A shell completes what the parser takes."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from optim.cli.completion import SHELLS, script
from optim.cli.parser import build_parser, main
from optim.cli.verbs import VERBS
from tests.conftest import COMPONENTS

SYNTAX = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


def completed(folder: Path, *words: str) -> set[str]:
    """What bash offers for the last of these words."""
    typed = f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}"
    asked = f'{typed}; _optim; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script('bash')}\n{asked}"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split("\n")[:-1]) - {""}


def test_bash_completes_commands_flags_words_and_files(tmp_path: Path) -> None:
    (tmp_path / "my study.toml").touch()
    (tmp_path / "other.toml").touch()
    assert completed(tmp_path, "optim", "re") == {"report", "replay", "rename"}
    assert completed(tmp_path, "optim", "run", "--n-") == {"--n-trials", "--n-jobs"}
    assert completed(tmp_path, "optim", "run", "my") == {"my study.toml"}
    assert completed(tmp_path, "optim", "completion", "b") == {"bash"}
    assert completed(tmp_path, "optim", "") == {*(verb.name for verb in VERBS), "--help", "--version"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_is_told_every_command_and_flag(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert text == script(shell)
    (verbs,) = (action for action in build_parser()._actions if action.choices and action.metavar == "COMMAND")
    for name, parser in dict(verbs.choices or {}).items():
        flags = [flag for action in parser._actions for flag in action.option_strings if flag not in ("-h", "--help")]
        lines = [line for line in text.splitlines() if re.search(rf"(?<![\w-]){name}(?![\w-])", line)]
        told = "\n".join(lines)
        assert lines, name
        for flag in flags:
            wanted = flag if shell != "fish" else f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            assert re.search(rf"(?<![\w-]){re.escape(wanted)}(?![\w-])", told), (name, flag)


@pytest.mark.parametrize(
    "shell", [pytest.param(shell, marks=pytest.mark.real(shell) if shell in COMPONENTS else ()) for shell in SYNTAX]
)
def test_a_shell_can_read_it(shell: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script(shell))
    done = subprocess.run([*SYNTAX[shell], str(tmp_path / "script")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(r"exit codes: 0 .* 1 .* 2 .* 130 interrupted", told)
