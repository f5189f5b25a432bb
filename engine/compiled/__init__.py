"""How Python becomes machine code: options, caches, array types, sums, windows, comparisons, and results that are shared."""
