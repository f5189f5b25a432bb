"""The engine's errors, and the root they share with optim's.

UserError
├── EngineError
│   ├── DataError        bars that cannot be traded: file, row, reason
│   ├── StrategyError    a strategy that cannot be found, loaded or that returned garbage
│   └── ParameterError   a parameter or account rule that is missing, unknown or out of range
└── optim.errors.OptimError ...
"""


class UserError(Exception):
    """Root of everything that is raised on purpose: its message is one sentence for the user."""


class EngineError(UserError):
    """Root of everything the engine raises on purpose."""


class DataError(EngineError):
    """Market data that cannot be traded."""


class StrategyError(EngineError):
    """A strategy that cannot be found or loaded, or whose signal is unusable."""


class ParameterError(EngineError):
    """A strategy parameter or an account rule that is missing, unknown or out of range."""
