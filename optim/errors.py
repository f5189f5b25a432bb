"""optim's errors, one tree.

OptimError
├── SpecError      a study file, search space or flag that breaks a rule: file, key, value, rule, remedy
├── CodeChangedError  a file of the strategy was edited while the study ran
├── RecordError    the persistent record cannot be read, written or belongs to another study
├── TrackingError  MLflow cannot be reached or refused
"""


class OptimError(Exception):
    """Root of everything optim raises on purpose; the message is one sentence for the user."""


class SpecError(OptimError):
    """Bad input from a study file, a search space or the command line."""


class CodeChangedError(OptimError):
    """The strategy's code is not what the study began with."""


class RecordError(OptimError):
    """The persistent Optuna record cannot be used."""


class TrackingError(OptimError):
    """The tracking server cannot be used."""
