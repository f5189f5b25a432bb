"""How Python becomes machine code: options, caches, array types, sums, windows, comparisons, shared results."""
