"""What users need of the package ``privacy``: pseudonyms under a site key."""

from __future__ import annotations

import privacy
from bussynth.ownership import check_owned

check_owned(privacy)

from privacy.pseudonym import SiteKey as SiteKey  # noqa: E402  (the guard comes first)
from privacy.pseudonym import pseudonym as pseudonym  # noqa: E402

__all__ = ["SiteKey", "pseudonym"]
