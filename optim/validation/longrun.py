"""The variance of a mean of returns that depend on each other, and what a Sharpe ratio is a mean of.

1. Andrews, "Heteroskedasticity and Autocorrelation Consistent Covariance Matrix Estimation", Econometrica 59(3), 1991.
2. Politis & Romano, "The Stationary Bootstrap", JASA 89(428), 1994.
3. Hansen, "A Test for Superior Predictive Ability", JBES 23(4), 2005.
4. Opdyke, "Comparing Sharpe Ratios: So Where Are the p-Values?", Journal of Asset Management 8(5), 2007.
"""

from __future__ import annotations

import numpy as np

from optim.validation.matrix import Floats, standardised


def sharpe_influence(values: Floats) -> tuple[Floats, Floats]:
    """Influence of each return on its column's Sharpe ratio [T, N], and the Sharpe ratios [N] (ddof 1).

    z - sr / 2 (z^2 - 1) with z the standardised return; its mean is 0 and, for independent returns, its variance
    1 - skew sr + (kurtosis - 1) / 4 sr^2: the estimated Sharpe ratio varies as the mean of this [4]. 0 where flat.
    """
    z, sharpe = standardised(values)
    rows = len(values)
    population = sharpe * np.sqrt(rows / (rows - 1))
    return z - population / 2 * (z**2 - (z != 0).any(axis=0)), sharpe


def autocovariances(series: Floats, lags: int) -> Floats:
    """Sample autocovariances at lags 0 ... lags, divided by T, of each column of series [T] or [T, N]; by FFT."""
    rows = len(series)
    size = 1 << (rows + lags - 1).bit_length()  # so many zeros that no product wraps round
    spectrum = np.fft.rfft(series - series.mean(axis=0), size, axis=0)
    return np.asarray(np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size, axis=0)[: lags + 1]) / rows


def long_run_variance(series: Floats) -> float:
    """T times the variance of the mean of series [T]: quadratic spectral kernel, bandwidth from an AR(1) fit.

    [1] eq. 2.7 (kernel), 6.2 and 6.4 (bandwidth 1.3221 (alpha(2) T)^(1/5), alpha(2) = 4 rho^2 / (1 - rho)^4). The
    kernel makes it positive by construction.
    """
    rows = len(series)
    covariance = autocovariances(series, rows - 1)
    if covariance[0] <= 0:
        return 0.0
    rho = float(np.clip(covariance[1] / covariance[0], -0.97, 0.97))
    bandwidth = 1.3221 * (4 * rho**2 / (1 - rho) ** 4 * rows) ** 0.2
    if bandwidth < 1e-3:
        return float(covariance[0])
    x = 6 * np.pi / 5 * np.arange(1, rows) / bandwidth
    kernel = 3 / x**2 * (np.sin(x) / x - np.cos(x))
    return float(max(covariance[0] + 2 * kernel @ covariance[1:], 0.0))


def bootstrap_covariance(series: Floats, other: Floats, block_length: float) -> Floats:
    """T times the covariance, under the stationary bootstrap, of the means of each column and of `other`; float64[N].

    Exact, not simulated: sum over lags of the circular cross-covariances, weighted (1 - i / T) (1 - q)^i with
    q = 1 / block_length ([2] lemma 1, [3] eq. 11), by FFT. `other` is float64[T], or [T, N] for column by column.
    """
    rows = len(series)
    lag = np.arange(1, rows)
    weight = np.zeros(rows)
    weight[0] = 1.0
    weight[1:] = (1 - lag / rows) * (1 - 1 / block_length) ** lag
    both = weight.copy()
    both[1:] += weight[:0:-1]  # lag -i is lag T - i on the circle
    kernel = np.fft.rfft(both).real
    kernel[1 : (rows + 1) // 2] *= 2  # frequencies that stand for their mirror image too
    left = np.fft.rfft(series - series.mean(axis=0), axis=0)
    if other is series:
        power = left.real**2 + left.imag**2
    else:
        right = np.fft.rfft(other - other.mean(axis=0), axis=0)
        power = (left * np.conj(right if right.ndim == 2 else right[:, None])).real
    return np.asarray(kernel @ power) / rows**2
