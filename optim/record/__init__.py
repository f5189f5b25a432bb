"""The truth about a study: Optuna's storage with one writer, and the table made of it."""
