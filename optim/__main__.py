"""`python -m optim`."""

import gc
import sys

YOUNG, MIDDLE, OLD = 200_000, 20, 100  # Python's own are 700, 10, 10: it looks through every trial again and again


def main() -> int:
    """Entry point of the console command, whose process this is."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    from optim.cli import reader
    from optim.cli.parser import main as run_command

    reader.may_go()
    code = run_command()
    gc.freeze()  # Python's end would visit all of them twice
    return code


if __name__ == "__main__":
    sys.exit(main())
