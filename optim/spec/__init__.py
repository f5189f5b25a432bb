"""What a user writes: the study file, its search space, its expressions and its secrets."""
