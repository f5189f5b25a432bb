"""The backtest engine: bars in, metrics out. Knows nothing of Optuna, MLflow or joblib."""
