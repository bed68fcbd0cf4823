"""Are the synthetic images what was asked for, and do they look like real ones?

Networks trained on real training patients judge synthetic images, and held-out real images
beside them as the level to reach. Every figure here rests on a look at held-out patients; see
:data:`bussynth.quality.evaluate.STAYS`.
"""

from __future__ import annotations

__all__: list[str] = []
