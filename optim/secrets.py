"""Secrets: `${VARIABLE}` in a URI is read from the environment, and what was secret never comes out again."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote

from optim.errors import SpecError

MASK = "***"
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_USERINFO = re.compile(r"(://[^:/?#@\s\"']*):([^@\s\"']+)@")
_QUERY = re.compile(r"([?&](?:password|passwd|pwd|token|secret|sslpassword)=)[^&\s\"']+", re.IGNORECASE)
_SECRET_VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "PGPASSWORD",
)


def expand(text: str, where: str, environ: Mapping[str, str] | None = None) -> str:
    """`text` with every `${NAME}` replaced by the environment's value; `where` names file and key in the error.

    Raises:
        SpecError: a variable is not set.
    """
    variables = os.environ if environ is None else environ

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in variables:
            raise SpecError(f"{where}: the environment variable {name} is not set; set it with `export {name}=...`.")
        return variables[name]

    return _VARIABLE.sub(value, text)


def mask_uri(uri: str) -> str:
    """`uri` without its password: `postgresql://user:***@host/db`."""
    return _QUERY.sub(rf"\1{MASK}", _USERINFO.sub(rf"\1:{MASK}@", uri))


def mask(text: str, *uris: str) -> str:
    """`text` without any credential: neither in a URI, nor one of `uris`' passwords, nor one of the environment's."""
    masked = mask_uri(text)
    known = [os.environ.get(name, "") for name in _SECRET_VARIABLES]
    for uri in uris:
        for password in [m.group(2) for m in _USERINFO.finditer(uri)]:
            known += [password, unquote(password)]
    for secret in known:
        if len(secret) > 3:  # shorter ones are words of any sentence
            masked = masked.replace(secret, MASK)
    return masked
