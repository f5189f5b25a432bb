"""How it is searched: proposals, pruning, scoring, in batches or in one sweep."""
