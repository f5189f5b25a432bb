"""Secrets: `${VARIABLE}` in a URI is read from the environment, and what was secret never comes out again.

Masking would rather hide too much: in `scheme://user:password@host` all up to the last `@` is taken for the password,
whatever characters it has, for the parts of a password show up where a library splits a URI elsewhere than was meant.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from optim.errors import SpecError

MASK = "***"
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_NAME = r"[\w.-]*(?:password|passwd|pwd|passphrase|token|secret|api_?key|signature|credential)[\w.-]*"
_QUERY = re.compile(rf"([?&;]{_NAME}=)([^&\s]+?)(?=[\"']?(?:[&\s,)\]}}]|$))", re.IGNORECASE)
_WHOLE_QUERY = re.compile(rf"([?&;]{_NAME}=)([^&]+)", re.IGNORECASE | re.DOTALL)
_USERINFO = re.compile(r"(\w[\w+.-]*)://([^/\s]\S*)@")
_WHOLE_USERINFO = re.compile(r"(\w[\w+.-]*)://(?!/)(.+)@", re.DOTALL)
_TOKEN_LENGTH = 16  # a user name of http that is as long is taken for a token
_SECRET_VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "PGPASSWORD",
)
_ADDED = {  # what the client of a scheme sends along by itself
    "http": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    "postgresql": ("PGUSER", "PGPASSWORD"),
    "mysql": ("MYSQL_PWD",),
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
}


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


def variables_sent(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The environment variables that using this URI (before `expand`) gives to its host, by name.

    Those it names as `${NAME}`, and those that are set and that the scheme's own client sends.
    """
    variables = os.environ if environ is None else environ
    scheme = text.partition("://")[0].partition("+")[0].replace("https", "http").replace("mariadb", "mysql")
    added = [name for name in _ADDED.get(scheme, ()) if variables.get(name)] if "://" in text else []
    return list(dict.fromkeys([*_VARIABLE.findall(text), *added]))


def refuse_sent(path: Path, uris: Iterable[tuple[str, str]]) -> None:
    """`--no-env`: SpecError when a URI of the study file at `path`, given with its key, would send a variable."""
    for key, uri in uris:
        if names := variables_sent(uri):
            raise SpecError(
                f"{path}: {key} takes {', '.join(names)} from the environment, which --no-env forbids; write the "
                "value out, unset the variable, or leave --no-env away"
            )


def mask_uri(uri: str) -> str:
    """`uri` without its password: `postgresql://user:***@host/db`; of http without its user too, who may be a token."""
    return _WHOLE_USERINFO.sub(_masked_user, _WHOLE_QUERY.sub(rf"\1{MASK}", uri))


def mask(text: str, *uris: str) -> str:
    """`text` without any credential: neither in a URI, nor one of `uris`' secrets, nor one of the environment's."""
    if re.match(r"\w[\w+.-]*://\S", text) and "\n" not in text and not uris:
        uris = (text.rpartition("@")[0] + "@",)  # one URI, with whatever stands in it
    known = [os.environ.get(name, "") for name in _SECRET_VARIABLES]
    known += [secret for uri in uris for secret in _secrets(uri)]
    forms = {form for secret in known for form in _forms(secret) if len(form) > 3}  # shorter: words of any sentence
    if forms:  # the longest first: a secret before its parts
        pattern = "|".join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form))))
        text = re.sub(pattern, MASK, text, flags=re.IGNORECASE)
    return _USERINFO.sub(_masked_user, _QUERY.sub(rf"\1{MASK}", text))


def _masked_user(match: re.Match[str]) -> str:
    scheme, userinfo = match.groups()
    user, colon, _ = userinfo.partition(":")
    if scheme.lower() in ("http", "https"):
        return f"{scheme}://{MASK}@"
    return f"{scheme}://{user}:{MASK}@" if colon else match[0]


def _secrets(uri: str) -> Iterator[str]:
    """What is secret in a URI, and its parts where a library may split it."""
    found = [match[2] for match in _WHOLE_QUERY.finditer(uri)]
    for scheme, userinfo in _WHOLE_USERINFO.findall(uri):
        user, colon, password = userinfo.partition(":")
        found.append(password)
        if scheme.lower() in ("http", "https") and (not colon or len(user) >= _TOKEN_LENGTH):
            found.append(user)
    for secret in found:
        yield secret
        yield from re.split(r"[@/:?#&\s\"'\\]", secret)


def _forms(secret: str) -> Iterator[str]:
    """A secret as messages write it: as it is, percent-encoded or decoded, escaped, its blanks made one."""
    for plain in {secret, unquote(secret), unquote_plus(secret), " ".join(secret.split())}:
        yield plain
        for safe in ("", "/", "+", "@:", "!$&'()*+,;=:"):
            yield quote(plain, safe=safe)
        yield quote_plus(plain)
        for escaped in (json.dumps(plain), json.dumps(plain, ensure_ascii=False), repr(plain), ascii(plain)):
            yield escaped[1:-1]
