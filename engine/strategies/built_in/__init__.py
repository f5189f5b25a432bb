"""The built-in strategies, one file each: add a file and a search space, nothing else."""
