"""optim completion: what makes a shell complete verbs, flags and files. All of it comes from the table of verbs."""

from __future__ import annotations

from optim.cli.verb import Verb
from optim.cli.verbs import STUDY_FLAGS, VERBS

SHELLS = ("bash", "zsh", "fish", "powershell")  # as the verb has them


def script(shell: str) -> str:
    """What one of SHELLS is to read."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish, "powershell": _powershell}[shell]()


def completion(shell: str) -> int:
    """Print it."""
    print(script(shell), end="")  # noqa: T201 - it is what was asked for
    return 0


def flags_of(verb: Verb) -> list[str]:
    """The flags of a verb, `--help` included."""
    given = (*verb.flags, *(STUDY_FLAGS if verb.study else ()))
    return ["--help", *(name for names, _ in given for name in names if name.startswith("-"))]


def words_of(verb: Verb) -> list[str]:
    """What may stand after a verb beside files: words of a fixed choice."""
    return [
        str(word) for names, rules in verb.flags if not names[0].startswith("-") for word in rules.get("choices", ())
    ]


_BASH = """\
# bash: eval "$(optim completion bash)"
_optim() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" words
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{verbs} --help --version"
    else
        case "${{COMP_WORDS[1]}}" in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    if [ "$COMP_CWORD" -gt 1 ] && [[ "$word" != -* ]]; then
        local IFS=$'\\n'
        COMPREPLY+=($(compgen -f -- "$word"))
    fi
}}
complete -o filenames -F _optim optim
"""


def _bash() -> str:
    cases = [f'            {verb.name}) words="{" ".join(words_of(verb) + flags_of(verb))}" ;;' for verb in VERBS]
    return _BASH.format(verbs=" ".join(verb.name for verb in VERBS), cases="\n".join(cases))


_ZSH = """\
#compdef optim
# zsh: eval "$(optim completion zsh)", after compinit
_optim() {{
    local -a verbs
    if (( CURRENT == 2 )); then
        verbs=(
{verbs}
        )
        _describe command verbs
        return
    fi
    case "${{words[2]}}" in
{cases}
    esac
    [[ "$PREFIX" == -* ]] || _files
}}
compdef _optim optim
"""


def _zsh() -> str:
    verbs = [f"            {_single(f'{verb.name}:{_plain(verb.text)}')}" for verb in VERBS]
    cases = [f"        {verb.name}) compadd -- {' '.join(words_of(verb) + flags_of(verb))} ;;" for verb in VERBS]
    return _ZSH.format(verbs="\n".join(verbs), cases="\n".join(cases))


def _fish() -> str:
    lines = ["# fish: optim completion fish | source", "complete -c optim -e"]
    for verb in VERBS:
        lines.append(f"complete -c optim -n __fish_use_subcommand -f -a {verb.name} -d {_single(verb.text)}")
        here = f"-n '__fish_seen_subcommand_from {verb.name}'"
        lines += [f"complete -c optim {here} -f -a {word}" for word in words_of(verb)]
        for names, rules in (*verb.flags, *(STUDY_FLAGS if verb.study else ())):
            if names[0].startswith("-"):
                given = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in names)
                value = "" if rules.get("action") == "store_true" else " -r"
                said = _single(str(rules.get("help", "")).replace("%%", "%"))
                lines.append(f"complete -c optim {here} {given}{value} -d {said}")
    return "\n".join(lines) + "\n"


_POWERSHELL = """\
# PowerShell: optim completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName optim -ScriptBlock {{
    param($wordToComplete, $commandAst, $cursorPosition)
    $verbs = [ordered]@{{
{verbs}
    }}
    $given = @($commandAst.CommandElements | ForEach-Object {{ $_.ToString() }})
    $first = $given.Count -lt 2 -or ($given.Count -eq 2 -and $wordToComplete -ne '')
    $words = if ($first) {{ $verbs.Keys }} elseif ($verbs.Contains($given[1])) {{ $verbs[$given[1]] }} else {{ @() }}
    $words | Where-Object {{ $_ -like "$wordToComplete*" }} | ForEach-Object {{
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }}
}}
"""


def _powershell() -> str:
    verbs = [
        f"        {_quoted(verb.name)} = @({', '.join(map(_quoted, words_of(verb) + flags_of(verb)))})"
        for verb in VERBS
    ]
    return _POWERSHELL.format(verbs="\n".join(verbs))


def _single(text: str) -> str:
    """In single quotes, as bash, zsh and fish read them alike."""
    return "'" + text.replace("\\", "").replace("'", "") + "'"


def _quoted(text: str) -> str:
    """In single quotes, as PowerShell reads them."""
    return "'" + text.replace("'", "''") + "'"


def _plain(text: str) -> str:
    """Without the colon that ends a name."""
    return text.replace(":", ",")
