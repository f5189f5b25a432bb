"""What a backtest leaves on disk: plots, a text report, JSON summaries, the trades."""
