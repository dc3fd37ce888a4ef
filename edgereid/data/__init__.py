"""Datasets: what a labelled image is, loaders for known layouts, the built-in drawn task."""
