"""Ranked lists to look at: a self-contained page of queries and what engines find for them."""
