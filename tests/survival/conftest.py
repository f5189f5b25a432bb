"""The databases of the tracking tests."""

from tests.tracking.conftest import database, empty_database, postgres

__all__ = ["database", "empty_database", "postgres"]
