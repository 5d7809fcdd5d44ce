"""The one door for the URL of a database or a file elsewhere: it is parsed, its secrets are masked, or it is refused.

A URL is shown to people only as :func:`shown_url` returns it, and opened only after :func:`checked_url` has parsed it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from hsicfast.errors import InputError

if TYPE_CHECKING:
    import sqlalchemy.engine

# What people see of a text whose secrets cannot be found, because it cannot be parsed.
NO_URL = "a text that is no URL"
# A name and a password, as SQLAlchemy reads them: up to the first @.
_LOGIN = re.compile(r"[\w+.-]+://[^:/@]*(@[^:/@]*)?(:[^@]*)?@")
# The keys of a query whose value is a secret, in small letters alone: sslpassword, PGPASSWD, api_key ...; passfile is a
# path, and no secret.
_SECRET = re.compile(r".*(password|passwd|passphrase|pwd|secret|token|credentials?|apikey|accesskey)|pass|psw|key")
# A connection string of ODBC has a list of such keys in one value.
_HIDDEN = re.compile(r"(pwd|password|token|secret)\s*=", re.IGNORECASE)


def checked_url(text: str, what: str = "store=") -> str:
    """`text` itself if it can be parsed; the path in it of an SQLite file is made absolute.

    Parameters
    ----------
    text : str
        A URL such as ``postgresql+psycopg://user@host/database``.
    what : str
        The thing that has this URL, as the subject of the sentence.

    Raises
    ------
    InputError
        If it cannot be parsed, or not in one way only. The sentence does not repeat it, as it may hold a password.

    Examples
    --------
    >>> checked_url("postgresql://user@host:5432/database")
    'postgresql://user@host:5432/database'
    >>> checked_url("postgresql://user:secret@host:port/database")
    Traceback (most recent call last):
    ...
    hsicfast.errors.InputError: store= must be the URL of a database that answers, but got a text that is no URL; write
    dialect://user@host:5432/database, with %40 for an @ inside a name or a password
    """
    parts = _parsed(text)
    if parts is None:
        raise InputError(
            f"{what} must be the URL of a database that answers, but got {NO_URL}; write "
            "dialect://user@host:5432/database, with %40 for an @ inside a name or a password"
        )
    file = parts.database
    if parts.get_backend_name() == "sqlite" and file and not file.startswith((":memory:", "file:", "/")):
        # A training may change the folder of the process, and a thread may open the file meanwhile.
        parts = parts.set(database=str(Path(file).absolute()))
        return parts.render_as_string(hide_password=False)
    return text


def shown_url(text: str) -> str:
    """`text` with its secrets masked, so that it may be shown to people; none of it if it cannot be parsed.

    Examples
    --------
    >>> shown_url("postgresql://user:secret@host/database?sslpassword=secret&sslmode=require")
    'postgresql://user:***@host/database?sslmode=require'
    >>> shown_url("postgresql://user:sec@ret@host/database")
    'a text that is no URL'
    """
    parts = _parsed(text)
    if parts is None:
        return NO_URL
    return parts.difference_update_query(_secrets(text)).render_as_string(hide_password=True)


def has_secret(text: str) -> bool:
    """Whether `text` is a URL that holds a password or the like; one that cannot be parsed, if a login is in it.

    Examples
    --------
    >>> [has_secret(url) for url in ("sqlite:///x.db", "sqlite:///x.db?password=", "pg://u:p@ss@h/d", "no URL")]
    [False, True, True, False]
    """
    parts = _parsed(text)
    if parts is None:
        return re.search(r"://[^/@\s]*:\S*@", text) is not None or ("://" in text and _HIDDEN.search(text) is not None)
    return parts.password is not None or bool(_secrets(text))


def texts_with_secrets(content: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The dotted key and the text of each URL with a secret in plain data: mappings, lists and texts."""
    if isinstance(content, str):
        if "://" in content and has_secret(content):
            yield key, content
        return
    if isinstance(content, Mapping):
        entries: Iterable[tuple[Any, Any]] = content.items()
    else:
        entries = enumerate(content) if isinstance(content, list | tuple) else ()
    for own, value in entries:
        yield from texts_with_secrets(value, f"{key}.{own}" if key else str(own))


def _secrets(text: str) -> list[str]:
    """The keys of a URL's query whose values are secrets; an empty one counts, as it will be filled."""
    login = _LOGIN.match(text)
    pairs = parse_qsl(text[login.end() if login else 0 :].partition("?")[2], keep_blank_values=True)
    names = {key: "".join(filter(str.isalnum, key)).lower() for key, _ in pairs}
    odbc = [key for key, value in pairs if names[key] == "odbcconnect" and _HIDDEN.search(value)]
    return [key for key, name in names.items() if _SECRET.fullmatch(name)] + odbc


def _parsed(text: str) -> sqlalchemy.engine.URL | None:
    """The parts of a URL; None if it has none, or if it could be read in another way."""
    import sqlalchemy.engine
    import sqlalchemy.exc

    if not isinstance(text, str):
        return None
    try:
        parts = sqlalchemy.engine.make_url(text)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        return None
    login = _LOGIN.match(text)
    # Behind a login an @ belongs to a password that is not quoted: what is taken for the host is a part of it.
    doubtful = login is not None and "@" in text[login.end() :]
    doubtful |= any(_HIDDEN.search(part) is not None for part in (parts.host, parts.database) if part)
    return None if doubtful else parts
