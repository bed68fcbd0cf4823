from __future__ import annotations

import sys
from pathlib import Path

# Opacus installs a top-level package of the same name, which would be found first.
sys.path.insert(0, str(Path(__file__).parents[2]))
