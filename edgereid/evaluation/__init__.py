"""Retrieval accuracy of engines and checkpoints on a dataset: files in, metrics out."""
