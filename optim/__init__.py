"""Hyperparameter optimisation for trading strategies."""

__version__ = "0.1.0"
