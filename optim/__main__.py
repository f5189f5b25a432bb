"""`python -m optim`: the command `optim`, which takes no module from the folder one is in."""

import os
import sys
from importlib.machinery import PathFinder


def main() -> int:
    """Entry point of the console command, whose process this is."""
    import gc

    from optim.record.garbage import look_seldom

    look_seldom()
    if _is_misleading(os.curdir):
        os.environ.setdefault("PYTHONSAFEPATH", "1")  # for the processes that it starts
    from optim.cli import reader

    try:
        from optim.cli.parser import main as run_command

        reader.may_go()
        code = run_command()
    except ModuleNotFoundError as error:
        if str(error.name).startswith(("optim", "engine")):
            raise
        sys.stderr.write(f"error: {_without(str(error.name))}\n")
        code = 2
    gc.freeze()  # Python's end would visit all of them twice
    return code


def _is_misleading(folder: str) -> bool:
    """Whether it has a module of the name of another one, which a process that begins there would not find."""
    try:
        with os.scandir(folder) as entries:
            own = [one for one in entries if one.name.endswith(".py") or os.path.isfile(f"{one.path}/__init__.py")]
    except OSError:  # it may be gone
        return False
    here = os.path.join(os.path.abspath(folder), "")
    found = [PathFinder.find_spec(one.name.removesuffix(".py")) for one in own]
    return any(spec is not None and not str(spec.origin).startswith(here) for spec in found)


def _without(library: str) -> str:
    return (
        f"this Python, {sys.executable}, has no {library}, which optim needs: "
        "install optim into it, or use the one it is installed in, such as .venv/bin/python"
    )


def _look_elsewhere() -> None:
    """Not in the folder one is in, where `python -m` looks first: a json.py or another study's helpers.py may be there.

    So it is for the command `optim` too. Where optim itself was found there, and only there, it is looked through last.
    """
    if not sys.flags.safe_path:
        here = sys.path.pop(0)
        if __file__ == os.path.join(here, "optim", "__main__.py"):
            sys.path.append(here)


if __name__ == "__main__":
    _look_elsewhere()
    sys.exit(main())
