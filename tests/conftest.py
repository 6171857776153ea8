"""What holds for all tests.

One Hypothesis profile for everybody: the same examples on every machine, and no deadline for slow ones. And whatever a
test makes Traitbase ask of PostgreSQL, a sharded one must take, too.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _only_what_can_be_sharded():
    yield
    postgres = sys.modules.get("support.postgres")
    recorder = None if postgres is None else postgres.recorder()
    if recorder is not None:
        faults = recorder.faults()
        assert not faults, "\n".join(faults)
