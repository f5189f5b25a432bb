"""TPE compiled: Optuna's own proposals from the same history and seed, at a cost that hardly grows with the trials."""

from __future__ import annotations

from typing import Any

import optuna

KNOWN = ("5.0.",)  # versions of Optuna whose TPESampler is held against the compiled one by the tests


def covers(kind: type) -> bool:
    """Whether a class of samplers has a compiled equal: TPESampler has, of a version that is known, with a known numpy.

    All of its options are covered, and studies of several objectives too.
    """
    if kind is not optuna.samplers.TPESampler or not optuna.__version__.startswith(KNOWN):
        return False
    from optim.search.tpe.loops import found

    return found()


def compiled(**options: Any) -> optuna.samplers.TPESampler:
    """The compiled sampler; options: TPESampler's, by name."""
    from optim.search.tpe.sampler import CompiledTPESampler

    return CompiledTPESampler(**options)


def hand_over(before: optuna.samplers.BaseSampler | None, after: optuna.samplers.BaseSampler) -> None:
    """What a sampler has read of a study, to the next one of the same study; nothing where that is not known."""
    if type(before) is not type(after):
        return
    if hasattr(after, "continue_from"):
        after.continue_from(before)
    elif isinstance(before, optuna.samplers.NSGAIISampler) and optuna.__version__.startswith(KNOWN):
        vars(after)["_search_space"] = before._search_space  # else all trials are read for it, every time
