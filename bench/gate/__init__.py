"""The gate: has a candidate engine lost accuracy, or speed, against its reference?"""
