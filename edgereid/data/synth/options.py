"""What to draw: the size of a drawn dataset, and the built-in task."""

from __future__ import annotations

from dataclasses import dataclass

from edgereid.errors import UsageError

#: Changes whenever the same options would give other pixels.
DRAWING_VERSION = 1
#: (option, smallest, largest): four-digit ids and one-digit cameras, as Market-1501 names them.
_LIMITS = (
    ("train_ids", 1, 9000),
    ("test_ids", 1, 9000),
    ("cameras", 2, 9),
    ("images_per_camera", 1, 50),
    ("distractors", 0, 100_000),
    ("junk", 0, 100_000),
    ("seed", 0, 2**31 - 1),
)
MAX_IDS = 9999


@dataclass(frozen=True, slots=True)
class SynthOptions:
    """A drawn dataset. The same options always give the same bytes (with the same Pillow).

    ``images_per_camera`` images show each identity in each camera where it appears; a test
    identity has one query image there on top. ``distractors`` and ``junk`` are images added to
    the gallery under the ids 0 and -1.
    """

    train_ids: int = 350
    test_ids: int = 120
    cameras: int = 4
    images_per_camera: int = 4
    distractors: int = 400
    junk: int = 150
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(
                    f"{name.replace('_', ' ')} is {value}: it must be between {low} and {high}"
                )
        if self.train_ids + self.test_ids > MAX_IDS:
            raise UsageError(
                f"{self.train_ids + self.test_ids} identities in total: at most {MAX_IDS} fit the "
                "four digits of a Market-1501 file name"
            )

    @classmethod
    def sized(cls, ids: int, cameras: int, seed: int, test_ids: int | None = None) -> SynthOptions:
        """A dataset of ``ids`` identities in all, with the proportions of the built-in task.

        Raises: UsageError for fewer than two identities or a split that leaves none to train on.
        """
        if ids < 2:
            raise UsageError(f"{ids} identities: at least 2 are needed, one to train, one to test")
        if test_ids is None:
            test_ids = max(1, round(ids * DEMO.test_ids / (DEMO.train_ids + DEMO.test_ids)))
        if not 1 <= test_ids < ids:
            raise UsageError(
                f"{test_ids} test identities out of {ids}: give at least 1 and at most {ids - 1}"
            )
        return cls(
            train_ids=ids - test_ids,
            test_ids=test_ids,
            cameras=cameras,
            distractors=round(test_ids * DEMO.distractors / DEMO.test_ids),
            junk=round(test_ids * DEMO.junk / DEMO.test_ids),
            seed=seed,
        )


#: The built-in task: what documentation, benchmarks and published weights refer to.
DEMO = SynthOptions()
