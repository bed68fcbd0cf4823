"""What measures whether synthetic images are safe to share.

Works on arrays, tables and callables; knows nothing of cohorts. Users import it through
``bussynth.audits``.
"""

__distribution__ = "bussynth"
