"""One Hypothesis profile for everybody: the same examples on every machine, and no deadline for slow ones."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")
