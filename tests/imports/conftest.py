"""A fresh store in memory for every test."""

from __future__ import annotations

import pytest

from imports.importing import Importing


@pytest.fixture
def importing(tmp_path):
    return Importing(tmp_path)
