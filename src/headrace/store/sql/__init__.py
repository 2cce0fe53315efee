"""The `Store` on SQLite and PostgreSQL, in SQLAlchemy Core."""
