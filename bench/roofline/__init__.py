"""Roofline: what this machine can reach, what each engine reaches, and where the rest is lost."""
