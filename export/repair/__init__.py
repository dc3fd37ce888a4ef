"""Steps that mend what quantisation breaks. Each takes a float model and hands back another."""
