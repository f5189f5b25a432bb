"""What a kernel refuses to be called with: compiled code would read and write beside its arrays, without a word."""

from __future__ import annotations

from engine.compiled.jit import inner


@inner
def refuse_window(window: int) -> None:
    """ValueError for a window, or a period, of no bar."""
    if window < 1:
        raise ValueError("an indicator's window or period must be at least 1 bar")


@inner
def refuse_lengths(n: int, others: tuple[int, ...]) -> None:
    """ValueError for arrays of other lengths than n."""
    for other in others:
        if other != n:
            raise ValueError("an indicator's or a signal's arrays must be equally long")
