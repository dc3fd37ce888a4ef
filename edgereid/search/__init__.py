"""Which layers are worth 8 bits: sensitivity, search under two budgets, the Pareto front."""
