"""`python -m optim`."""

import sys


def main() -> int:
    """Entry point of the console command."""
    from optim.cli.parser import main as run_command

    return run_command()


if __name__ == "__main__":
    sys.exit(main())
