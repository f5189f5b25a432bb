"""Imports point down, and heavy ones are lazy; each in a fresh process."""

import subprocess
import sys

import pytest

HEAVY = ("optuna", "mlflow", "joblib", "numba", "pandas", "optim", "rich", "matplotlib", "jinja2")


def loaded(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split() if done.stdout.strip() else [])


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import engine", {"optuna", "mlflow", "joblib", "optim", "numba", "pandas", "matplotlib"}),
        ("import engine.evaluate", {"optuna", "mlflow", "joblib", "optim", "matplotlib"}),
        ("import engine.report.result", {"optuna", "mlflow", "joblib", "optim", "numba", "pandas", "matplotlib"}),
        ("import optim.spec.study", {"optuna", "mlflow", "joblib", "numba", "pandas", "matplotlib"}),
        ("import optim.tracking", {"mlflow", "numba", "pandas", "joblib", "matplotlib"}),
        ("import optim.workers.pool", {"optuna", "mlflow", "rich", "matplotlib"}),
        ("import optim.api", {"mlflow", "matplotlib", "jinja2"}),
        (
            "import contextlib as c; from optim.cli.parser import main\nwith c.suppress(SystemExit): main(['--help'])",
            {"optuna", "mlflow", "joblib", "numba", "pandas", "rich", "matplotlib"},
        ),
    ],
)
def test_imports_point_down(statement: str, forbidden: set[str]) -> None:
    assert not loaded(statement) & forbidden
