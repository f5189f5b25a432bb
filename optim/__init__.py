"""Hyperparameter optimisation for trading strategies."""

__version__ = "0.2.0"
