"""TPE compiled: Optuna's own proposals from the same history and seed, at a cost that hardly grows with the trials."""

from __future__ import annotations

from typing import Any

import optuna

KNOWN = ("5.0.",)  # versions of Optuna whose TPESampler is held against the compiled one by the tests


def covers(kind: type) -> bool:
    """Whether a class of samplers has a compiled equal: TPESampler has, of a version that is known.

    All of its options are covered; a study of several objectives gets Optuna's own code from the compiled class too.
    """
    return kind is optuna.samplers.TPESampler and optuna.__version__.startswith(KNOWN)


def compiled(**options: Any) -> optuna.samplers.TPESampler:
    """The compiled sampler; options: TPESampler's, by name."""
    from optim.search.tpe.sampler import CompiledTPESampler

    return CompiledTPESampler(**options)


def hand_over(before: optuna.samplers.BaseSampler | None, after: optuna.samplers.BaseSampler) -> None:
    """What a compiled sampler has read of a study, to the next one of the same study; nothing where either is not."""
    if type(before) is type(after) and hasattr(after, "continue_from"):
        after.continue_from(before)
