"""`python -m optim`."""

import gc
import sys

from optim.record.garbage import look_seldom


def main() -> int:
    """Entry point of the console command, whose process this is."""
    look_seldom()
    from optim.cli import reader
    from optim.cli.parser import main as run_command

    reader.may_go()
    code = run_command()
    gc.freeze()  # Python's end would visit all of them twice
    return code


if __name__ == "__main__":
    sys.exit(main())
