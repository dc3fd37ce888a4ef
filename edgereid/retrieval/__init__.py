"""Retrieval: how well features find the same person again: CMC, mAP, mINP, and by what protocol."""

from edgereid.retrieval.evaluate import evaluate, evaluate_distances
from edgereid.retrieval.result import RetrievalResult

__all__ = ["RetrievalResult", "evaluate", "evaluate_distances"]
