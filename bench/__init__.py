"""Latency, accuracy, machine state, verdict and report of engines (``docs/measurement.md``)."""
