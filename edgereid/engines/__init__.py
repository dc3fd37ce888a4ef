"""Engines: one file a runtime, one contract (``base.py``), one suffix table (``open.py``)."""
