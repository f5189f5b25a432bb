"""Where things are: paths and URIs of a study file, made absolute and given the driver that is installed."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

_DRIVERS = {"postgresql": ("psycopg", "psycopg2"), "mysql": ("MySQLdb", "pymysql")}


def is_url(storage: str) -> bool:
    """Whether a storage is a database URL, not the path of a journal file."""
    return "://" in storage


def absolute_uri(uri: str, base: Path) -> str:
    """`uri` with a relative SQLite file or folder taken from `base`."""
    if uri.startswith("sqlite:///"):
        path, query = uri.removeprefix("sqlite:///").partition("?")[::2]
        if path and path != ":memory:":
            return f"sqlite:///{base / path}" + (f"?{query}" if query else "")
        return uri
    if "://" in uri or uri.startswith("file:"):
        return uri
    return os.path.normpath(base / uri)


def with_driver(uri: str) -> str:
    """`postgresql://`, `mysql://` with the driver that is installed, where it is not the one SQLAlchemy 2.1 takes."""
    scheme, separator, rest = uri.partition("://")
    usual, other = _DRIVERS.get(scheme, ("", ""))
    if other and find_spec(usual) is None and find_spec(other) is not None:
        return f"{scheme}+{other}{separator}{rest}"
    return uri
