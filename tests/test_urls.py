"""The one door for URLs: they are parsed, masked or refused, and no secret is shown or kept (issue 22, point 1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsicfast.errors import InputError
from hsicfast.formats.frames import read_frame
from hsicfast.runs.store import Store
from hsicfast.space.search_space import Float, SearchSpace
from hsicfast.urls import NO_URL, checked_url, has_secret, shown_url, texts_with_secrets

SPACE = SearchSpace({"x": Float(0, 1)})
# Each holds the password s3cret.
PARSED = (
    "postgresql+psycopg://u:s3cret@h/d",
    "postgresql://u@h/d?password=s3cret",
    "postgresql://u@h/d?passwd=s3cret",
    "postgresql://u@h/d?sslmode=require&sslpassword=s3cret",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BX%7D%3BUID%3Du%3BPWD%3Ds3cret",
    "sqlite:///x.db?password=s3cret",
)
REFUSED = (
    "postgresql://u:s3cret@h:port/d",
    "postgresql://u:s3@s3cret@h/d",
    "postgresql://u:s3@s3cret/x@h/d",
    "postgresql://u:x@h@s3cret:5432/d",
    "mssql://h;password=s3cret/d",
    "://u:s3cret@h",
)


@pytest.mark.parametrize("url", PARSED)
def test_a_secret_is_seen_and_masked(url):
    assert has_secret(url)
    assert "s3cret" not in shown_url(url)
    assert checked_url(url) == url or url.startswith("sqlite")


@pytest.mark.parametrize("url", REFUSED)
def test_what_has_no_one_meaning_is_refused_without_its_text(url, tmp_path):
    assert has_secret(url)
    assert shown_url(url) == NO_URL
    for door in (
        lambda: checked_url(url),
        lambda: Store(SPACE, {}, True, tmp_path / "run", url),
        lambda: read_frame(url),
    ):
        with pytest.raises(InputError, match="must be the URL of a database that answers, but got a text that") as held:
            door()
        assert "s3cret" not in str(held.value)
    assert list(tmp_path.iterdir()) == []  # the run's folder was not made


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u@h/d",
        "sqlite:////tmp/a@b.db",
        "postgresql://u@h/d?passfile=/home/u/.pgpass",
        "https://h.org/trials.csv?raw=true",
        "tcp://${host}:${port}/x",
        "no URL",
    ],
)
def test_what_holds_none(url):
    assert not has_secret(url)


def test_the_file_of_a_database_does_not_move_with_the_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked_url("sqlite:///x.db") == f"sqlite:///{tmp_path / 'x.db'}"
    assert checked_url("sqlite:////x.db") == "sqlite:////x.db"
    assert checked_url("sqlite://") == "sqlite://"


def test_secrets_in_a_configuration_are_named_by_their_keys():
    held = {"store": None, "known": [{"source": PARSED[0]}, "trials.csv"], "task": {"n": 3, "at": PARSED[1]}}
    assert [key for key, _ in texts_with_secrets(held)] == ["known.0.source", "task.at"]


@given(st.text(alphabet="abc@:/?%;=&#[] 1", min_size=1, max_size=12))
def test_no_password_is_ever_shown(around):
    for url in (f"postgresql://u:{around}S3CRET@h/d", f"postgresql://u:S3CRET{around}@h:1/d?passwd=S3CRET"):
        assert "S3CRET" not in shown_url(url)
        try:
            checked_url(url)
        except InputError as error:
            assert "S3CRET" not in str(error)  # noqa: PT017 -- any other error is one, too
