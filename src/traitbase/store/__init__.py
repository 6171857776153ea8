"""The system of record: tables, migrations, SQLite, and an in-memory double that keeps the same contract."""
