"""Training: recipes as data, a loop that resumes exactly, checkpoints. Imports nothing heavy."""
