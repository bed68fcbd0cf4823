"""What in an image is no tissue, or no plain B-mode: found and flagged, never removed.

A model learns what is easiest. Calipers say where a lesion is, text says which breast and often how
old the patient is, a logo says which machine and so which hospital. Flags let a site count such
shortcuts, leave images out or have a person look. Each detector is a file of its own, a pure
function of pixels, and says what it misses; `benchmarks.cleaning` measures them.
"""
