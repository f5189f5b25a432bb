"""When two numbers that came about by rounding count as equal: the one rule of signals and of price levels."""

from __future__ import annotations

from engine.compiled.jit import inner

# Of the size of the prices behind what is compared. A price of two decimals is no float: its rounding is 1e-16 of it,
# and a mean of hundreds or a price level carries a few dozen times that. Means over windows of up to 500 bars of
# two-decimal prices up to 10,000 differ by 4e-12 of themselves or not at all.
TOLERANCE = 1e-12


@inner
def exceeds(left: float, right: float, scale: float) -> bool:
    """left > right, by more than rounding; scale: the size of the numbers they were computed from. NaN: False."""
    return left - right > TOLERANCE * scale


@inner
def reaches(left: float, right: float, scale: float) -> bool:
    """left >= right, or short of it by no more than rounding; scale as in `exceeds`. NaN: False."""
    return left - right >= -TOLERANCE * scale
