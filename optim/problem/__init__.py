"""What is searched: strategy, bars, cells and objective, checked before anything is written."""
