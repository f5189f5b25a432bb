"""How Python becomes machine code: options, caches, array types, sums, comparisons, and results that are shared."""
