"""Scenarios with the field's names (MLPerf Inference): what an engine is asked, and what counts."""
