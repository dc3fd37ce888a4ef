"""The lanes of an engine: a few shapes ready at a time, the least used one makes room."""

from __future__ import annotations

from edgereid.engines.tensorrt.lane import Lane, ProfileTakenError, Session
from edgereid.engines.tensorrt.profiles import Launch

#: Shapes that are kept ready, so that memory stays bounded: a run of bench has two.
MAX_LANES = 4


class Lanes:
    """``get`` gives the lane of a launch; ``close`` frees all."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lanes: list[Lane] = []  # the least recently used first
        self._one_a_profile = False

    def get(self, launch: Launch) -> Lane:
        """A lane that is set to the profile and shape of ``launch``."""
        lane = next((lane for lane in self._lanes if lane.is_for(launch)), None)
        if lane is None:
            lane = self._new(launch.profile) or self._reused(launch.profile)
            lane.set_to(launch)
        if lane is not self._lanes[-1]:
            self._lanes.remove(lane)
            self._lanes.append(lane)
        return lane

    def _new(self, profile: int) -> Lane | None:
        """One more lane, None where there is no room or no further context for the profile."""
        held = any(lane.profile == profile for lane in self._lanes)
        if len(self._lanes) >= MAX_LANES or (held and self._one_a_profile):
            return None
        try:
            self._lanes.append(Lane(self._session, profile))
        except ProfileTakenError:
            if not held:
                raise
            self._one_a_profile = True
            return None
        return self._lanes[-1]

    def _reused(self, profile: int) -> Lane:
        """The least recently used lane; where a profile belongs to one context, that one's."""
        if self._one_a_profile:
            for lane in self._lanes:
                if lane.profile == profile:
                    return lane
        return self._lanes[0]

    def close(self) -> None:
        """Free every lane, also when one of them fails."""
        while self._lanes:
            try:
                self._lanes.pop().close()
            except BaseException:
                self.close()
                raise
