"""How Python becomes machine code: the compiler's options, caches, array types, sums and comparisons."""
