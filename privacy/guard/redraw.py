"""Drawing again what a guard rejected.

An image is a function of (model, guard, seed, row, attempt), and which attempt is released is a
function of the attempts of that row alone. So row i is the same whatever the batch, the chunk or
the number of workers. A rejected image is never released: a row whose attempts are used up is left
out and counted, because the best of its tries is still too near.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from privacy.guard.errors import GuardInputError

__all__ = ["Draw", "Redrawn", "redraw"]

Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Draw = Callable[[Rows, int], Images]
"""Function (rows, attempt) to uint8 ``(len(rows), H, W)``; attempts count from 0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Redrawn:
    """The images that were accepted.

    Attributes:
        images: uint8 ``(kept, H, W)``.
        rows: int64 ``(kept,)``, the row of each image, in the order asked for.
        asked: Rows asked for.
        drawn: Images drawn.
    """

    images: Images
    rows: Rows
    asked: int
    drawn: int

    @property
    def rejected(self) -> int:
        """Images drawn and rejected."""
        return self.drawn - len(self.rows)

    @property
    def left_out(self) -> int:
        """Rows of which every attempt was rejected."""
        return self.asked - len(self.rows)


def redraw(
    draw: Draw,
    accept: Callable[[Images], npt.NDArray[np.bool_]],
    rows: Sequence[int],
    *,
    attempts: int = 10,
) -> Redrawn:
    """Draw rows, and those that are rejected again, until accepted or out of attempts.

    Args:
        draw: Makes the images of some rows at an attempt.
        accept: Which images may be released, e.g.
            :meth:`privacy.guard.rejection.RejectionGuard.accept`.
        rows: Rows wanted, none twice.
        attempts: Draws a row at most.

    Returns:
        The accepted images; fewer than ``rows`` where attempts ran out. How many tries a row took
        tells how near it lies to training images, so only totals are kept.

    Raises:
        GuardInputError: ``attempts`` is below 1, or a row is given twice.
    """
    open_rows: Rows = np.asarray(rows, dtype=np.int64)
    if attempts < 1:
        raise GuardInputError(f"attempts={attempts!r}: must be at least 1.")
    if len(np.unique(open_rows)) != len(open_rows):
        raise GuardInputError("A row is given twice.")
    made: dict[int, Images] = {}
    drawn, shape = 0, (0, 0)
    for attempt in range(attempts):
        if len(open_rows) == 0:
            break
        images = draw(open_rows, attempt)
        drawn, shape = drawn + len(images), images.shape[1:]
        accepted = accept(images)
        made.update(zip(open_rows[accepted].tolist(), images[accepted], strict=True))
        open_rows = open_rows[~accepted]
    kept = [row for row in map(int, rows) if row in made]
    return Redrawn(
        images=np.array([made[row] for row in kept], np.uint8).reshape(len(kept), *shape),
        rows=np.array(kept, np.int64),
        asked=len(rows),
        drawn=drawn,
    )
