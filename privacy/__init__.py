"""What makes data safe before and while a model sees them.

Works on plain things (bytes, arrays, tables); knows nothing of cohorts. Users import it
through ``bussynth.privacy``.
"""

__distribution__ = "bussynth"
