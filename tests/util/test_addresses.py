from __future__ import annotations

import time

import pytest

from harness.util.addresses import (
    address_id,
    addresses,
    has_secrets,
    short_address,
    typed_without_secrets,
    without_secrets,
)

TOKEN = "dapi0123456789"
SHORT = {
    # a server: scheme and host
    "http://box:5000": "http://box:5000",
    f"http://h/{TOKEN}/path": "http://h",
    f"http://h/?sig={TOKEN}": "http://h",
    f"http://h?{TOKEN}": "http://h",
    f"http://h/#{TOKEN}": "http://h",
    "https://me:secret@box.example/mlflow/": "https://box.example",
    "HTTPS://Me:Secret@Box.Example:443/x": "HTTPS://Box.Example:443",
    f"https://{TOKEN}@box.example": "https://box.example",
    "http://[::1]:5000/x": "http://[::1]:5000",
    "http://me:secret@[fe80::1]/x": "http://[fe80::1]",
    "http://h/me@TOKEN": "http://h",
    "postgresql://me:secret@db:5432/mlflow": "postgresql://db:5432",
    "postgresql+psycopg2://h/db?user=me&password=secret": "postgresql+psycopg2://h",
    "postgresql://me:secret@one:5432,two:5432/db": "postgresql://one:5432,two:5432",
    "mysql://u:p@ss@h/db?passphrase=x": "mysql://h",
    "mysql+pymysql://u:S3'cr et@h/db": "mysql+pymysql://h",
    "postgresql://u:pa/ss@h/db": "postgresql://h",
    "grpc://TOKEN@h:13000": "grpc://h:13000",
    "s3://bucket/path?token=x": "s3://bucket",
    "s3://KEY:SECRET@bucket/x": "s3://bucket",
    "gdrive://1AbC-d_E/path": "gdrive://1AbC-d_E",
    "azure://container/path": "azure://container",
    "ssh://me@host/data": "ssh://host",
    "webhdfs://me@host:50070/x?token=y": "webhdfs://host:50070",
    " http://h/x\n": "http://h",
    "jdbc:postgresql://u:secret@h/db": "jdbc:postgresql://h",
    # not a host, or possibly a secret
    f"databricks://{TOKEN}": "databricks://…",
    f"uc:{TOKEN}": f"uc:{TOKEN}",
    f"databricks-uc://profile:{TOKEN}": "databricks-uc://…",
    "mssql+pyodbc:///?odbc_connect=PWD%3Dsecret": "mssql+pyodbc://…",
    "postgresql:///db?host=/tmp": "postgresql://…",
    "http://me:secret/x": "http://…",
    "postgresql://u:12/ss@h/db": "postgresql://…",
    "postgresql://u:p@ss/w@h/db": "postgresql://…",
    # a file: its path
    "optuna.journal": "optuna.journal",
    "./runs/mlruns": "./runs/mlruns",
    "databricks": "databricks",
    "C:\\runs\\mlruns": "C:\\runs\\mlruns",
    "C:/runs/mlruns": "C:/runs/mlruns",
    "C://runs": "C://runs",
    "sqlite:///mlflow.db": "sqlite:///mlflow.db",
    "sqlite:////home/me@work/mlflow.db?mode=ro": "sqlite:////home/me@work/mlflow.db",
    "sqlite:///C:/runs/mlflow.db": "sqlite:///C:/runs/mlflow.db",
    "sqlite+pysqlcipher://:pa/ss@/mlflow.db?cipher=aes": "sqlite+pysqlcipher:///mlflow.db",
    "file:///srv/mlruns": "file:///srv/mlruns",
    "/srv/password=hunter2": "/srv/password=***",
    "me:secret@box:5000": "box:5000",
}


@pytest.mark.parametrize(("uri", "short"), SHORT.items())
def test_short_address_has_scheme_and_host_or_the_path_of_a_file(uri: str, short: str) -> None:
    assert short_address(uri) == short
    assert short_address(short) == short


TEXTS = {
    "MLflow at https://me:secret@box/x: no": "MLflow at https://box: no",
    "see 'http://h/TOKEN', or (http://g/x).": "see 'http://h', or (http://g).",
    '{"uri": "http://h/TOKEN", "n": 1}': '{"uri": "http://h", "n": 1}',
    "http://h/?next=http://g/TOKEN failed": "http://h failed",
    "cannot open mysql://u:S3'cr et@h/db: no": "cannot open mysql://h: no",
    "postgresql://u:p@ss word@h/db failed": "postgresql://h failed",
    "http://box.example/x failed, ask me@work": "http://box.example failed, ask me@work",
    "http://box/x failed, ask me@work": "http://box failed, ask me@work",
    "databricks://TOKEN is not configured": "databricks://… is not configured",
    "two lines: postgresql://u:secret@h\nme@work": "two lines: postgresql://h\nme@work",
    "user=me password=secret host=h": "user=me password=*** host=h",
    "PassWord='two words' host=h": "PassWord=*** host=h",
    "?api_key=x&user=me": "?api_key=***&user=me",
    "it is in C:\\runs, or C:/runs": "it is in C:\\runs, or C:/runs",
    "sqlite:////srv/mlflow.db is locked": "sqlite:////srv/mlflow.db is locked",
    "nothing here": "nothing here",
    "": "",
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items())
def test_without_secrets_shortens_each_address(text: str, expected: str) -> None:
    assert without_secrets(text) == expected


@pytest.mark.parametrize(
    ("uri", "text", "expected"),
    [
        (f"http://h/{TOKEN}/path", f"url: /{TOKEN}/api/2.0/x", "url: /***/api/2.0/x"),
        (f"http://h/{TOKEN}/path", f"http://h/{TOKEN}/path/api/2.0 failed", "http://h failed"),
        (f"http://h/?sig={TOKEN}", f"url: /?sig={TOKEN}", "url: /?sig=***"),
        (f"http://h/?sig={TOKEN}", f"the signature {TOKEN} has expired", "the signature *** has expired"),
        (f"databricks://{TOKEN}", f"no profile {TOKEN}", "no profile ***"),
        ("databricks://work:scope7", "no scope scope7 of work", "no scope *** of ***"),
        ("postgresql://me:se%40cret@h/db", "password se@cret of me", "password *** of me"),
        ("postgresql://me:se cret@h/db", "se%20cret, se cret", "***, ***"),
        ("postgresql://somebody:x@h/db", "role somebody is unknown", "role *** is unknown"),
        (
            "postgresql://u:p@ss word@h/db",
            "cannot open postgresql://u:p@ss word@h/db, me@work",
            "cannot open postgresql://h, me@work",
        ),
        (
            "mysql://u:secret@db:3306/x",
            "mysql://u:secret@db:3306/x: no access for 'u'@'10.0.0.1'",
            "mysql://db:3306: no access for 'u'@'10.0.0.1'",
        ),
        ("http://mlflow/a/b", "mlflow, and /a/b", "mlflow, and /a/b"),  # what is printed anyway, and short words
        ("sqlite:///mlflow.db", "mlflow.db is locked", "mlflow.db is locked"),
        ("sqlite:///mlflow.db?mode=ro", "in 'sqlite:///mlflow.db?mode=ro': no", "in 'sqlite:///mlflow.db': no"),
        ("optuna.journal", "optuna.journal.lock is there", "optuna.journal.lock is there"),
        ("", "as it is", "as it is"),
    ],
)
def test_without_secrets_hides_each_part_of_a_known_address(uri: str, text: str, expected: str) -> None:
    assert without_secrets(text, uri) == expected


def test_without_secrets_takes_several_addresses() -> None:
    assert without_secrets("TOKEN1 TOKEN2", "databricks://TOKEN1", "http://h/TOKEN2") == "*** ***"


def test_typed_without_secrets_shortens_the_address_in_an_argument() -> None:
    typed = ["search", "--storage=postgresql://u:p w@h/db", "http://h/TO KEN", "-s", "token=5", "lr=0.1"]
    assert typed_without_secrets(typed) == [
        *("search", "--storage=postgresql://h", "http://h", "-s", "token=***", "lr=0.1")
    ]
    assert addresses(typed) == ["postgresql://u:p w@h/db", "http://h/TO KEN"]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        *((uri, True) for uri in ("https://me:secret@h", "ssh://me@h", "s3://b/x?token=y", "s3://b/password=y")),
        *((uri, False) for uri in ("s3://bucket/path", "../storage", "gdrive://ID", "/home/me@work?")),
    ],
)
def test_has_secrets(uri: str, expected: bool) -> None:
    assert has_secrets(uri) == expected


def test_address_id_depends_on_scheme_host_port_and_path() -> None:
    known = address_id("http://h:5000/one")
    assert len(known) == 16
    for same in ("http://me:secret@h:5000/one", "http://h:5000/one/", "http://h:5000/one?sig=x", "HTTP://h:5000/one#x"):
        assert address_id(same) == known
    assert address_id("postgresql://u:pa/ss@h/db") == address_id("postgresql://h/db")
    others = (
        "https://h:5000/one",
        "http://h:5001/one",
        "http://g:5000/one",
        "http://h:5000/two",
        "sqlite:///one",
        "one",
    )
    assert len({known, *map(address_id, others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer ***"),
        ("{'Authorization': 'Basic bWU6c2VjcmV0'}", "{'Authorization': 'Basic ***'}"),
        (f'{{"token": "{TOKEN}", "n": 3}}', '{"token": "***", "n": 3}'),
        (f"DATABRICKS_TOKEN: {TOKEN}", "DATABRICKS_TOKEN: ***"),
        (
            f"url: /x?X-Amz-Signature={TOKEN}&X-Amz-Credential=me&v=1",
            "url: /x?X-Amz-Signature=***&X-Amz-Credential=***&v=1",
        ),
        (f"url: /x?sv=1&sig={TOKEN}", "url: /x?sv=1&sig=***"),
        (f"databricks+http://{TOKEN}", "databricks+http://…"),
        ("unexpected key: 'conv1.weight'; Basic information", "unexpected key: 'conv1.weight'; Basic information"),
        ("no token: it was not sent", "no token: it was not sent"),
    ],
)
def test_without_secrets_hides_tokens_outside_addresses(text: str, expected: str) -> None:
    assert without_secrets(text) == expected


@pytest.mark.parametrize(
    "name",
    ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"],
)
def test_without_secrets_hides_the_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "my own words")
    assert without_secrets("it said my own words again") == "it said *** again"
    monkeypatch.setenv(name, "it")
    assert without_secrets("it said my own words again") == "it said my own words again"


@pytest.mark.parametrize("unit", ["a", "a1", "a-"])
def test_without_secrets_is_fast_for_long_words(unit: str) -> None:
    start = time.perf_counter()
    assert without_secrets(unit * 100_000) == unit * 100_000
    assert time.perf_counter() - start < 5  # an hour with an earlier pattern
