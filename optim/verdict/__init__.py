"""Is the winner of a study skill or luck: the same search on shuffled markets, the rule, the ledger, the hold-out."""
