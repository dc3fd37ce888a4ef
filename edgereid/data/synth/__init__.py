"""The built-in data: drawn pedestrians in drawn places, in the Market-1501 layout.

``synthesise(root, DEMO)`` writes the built-in task. People are drawn from attributes
(``identity``), as jointed figures (``draw``, ``heads``, ``luggage``) in unrolled clothes
(``garments``), before a place (``background``), through a camera (``scene``).
"""

from __future__ import annotations

from edgereid.data.synth.options import DEMO, SynthOptions
from edgereid.data.synth.writer import SynthResult, synthesise

__all__ = ["DEMO", "SynthOptions", "SynthResult", "synthesise"]
