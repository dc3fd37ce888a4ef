"""What a network costs: parameters, multiply-adds, activations, memory, beside the papers' figures.

``profile``, ``profile_network``, ``Profile`` and ``CONVENTION`` are reached from here; they need
torch and fvcore, which are imported when one of them is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgereid.profile.counting import CONVENTION
    from edgereid.profile.network import Profile, profile, profile_network

__all__ = ["CONVENTION", "Profile", "profile", "profile_network"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edgereid.profile import network

    return getattr(network, name)
