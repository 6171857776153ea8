"""Column types, as each database has them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import UserDefinedType

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text in order of code points, as Python compares it: on PostgreSQL the collation says so, not the server's locale."""


class _JsonDocument(UserDefinedType[str]):
    """PostgreSQL's `jsonb`, which the program sees as text: numbers stay exact, and nobody decodes what is not used."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        """Return the name of the type."""
        return "JSONB"


DOCUMENT = sa.Text().with_variant(_JsonDocument(), "postgresql")
"""A JSON object of which the database looks at the entries."""
