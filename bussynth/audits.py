"""What users need of the package ``audits``: the audit on plain arrays."""

from __future__ import annotations

import audits
from bussynth.ownership import check_owned

check_owned(audits)

from audits.audit import audit_images as audit_images  # noqa: E402  (the guard comes first)
from audits.images import ImageSet as ImageSet  # noqa: E402
from audits.settings import AuditSettings as AuditSettings  # noqa: E402

__all__ = ["AuditSettings", "ImageSet", "audit_images"]
