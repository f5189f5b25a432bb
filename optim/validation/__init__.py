"""Is the winner of a search skill or luck: statistics over the returns of its trials."""
