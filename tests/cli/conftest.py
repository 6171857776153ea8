"""A data folder with a workspace in it, made without the command line: that takes half a second each time."""

from __future__ import annotations

from contextlib import closing

import pytest

from support.data import open_store
from traitbase.services.workspaces import create_workspace


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    with closing(open_store(folder)) as store:
        create_workspace(store, name="Shop", workspace_id="shop", timezone="UTC", at_us=1)
    return folder
