"""Every command explains itself."""

import re
import shlex

import pytest

from optim.cli.parser import build_parser, main
from optim.cli.verb import Verb
from optim.cli.verbs import VERBS


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_command_names_its_flags(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb.name, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert re.search(r"usage: .*\s" + verb.name, told)
    for names, _ in verb.flags:
        assert all(name in told for name in names if name.startswith("-"))
    *_, last = told.strip().splitlines()
    assert last.strip() == f"example: {verb.example}"
    words = shlex.split(verb.example)
    assert words[0] == "optim"
    assert build_parser().parse_args(words[1:]).verb.name == verb.name
