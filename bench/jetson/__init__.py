"""Jetson boards: what board this is, in what state, and what ``tegrastats`` prints of it."""
