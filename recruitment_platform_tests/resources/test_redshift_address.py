"""How Redshift is reached: one clear line where it is not, TLS and IAM as told, and no secret anywhere."""

import http.server
import logging
import socket
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from recruitment_platform.addresses import RedshiftAddress
from recruitment_platform.errors import PlatformError, SettingsError, StoreUnavailableError
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform.resources.redshift.warehouse import RedshiftWarehouse, open_redshift
from recruitment_platform.servers.ports import free_port
from recruitment_platform_tests.redshift_fixtures import RedshiftPlace, open_gate, superuser
from recruitment_platform_tests.redshift_gate.process import GateProcess
from recruitment_platform_tests.resources.warehouse_days import DAY, check_day, fact_rows, ledger_row, staged
from recruitment_platform_tests.servers_fixtures import Server

FEW = fact_rows(DAY, 20)
SECRET = "hunter2-is-no-secret"


def changed(place: RedshiftPlace, **fields: Any) -> RedshiftWarehouse:
    """The warehouse at an address that is otherwise the place's."""
    return open_redshift(place.address.model_copy(update=fields), place.store())


def actions(warehouse: RedshiftWarehouse) -> tuple[Callable[[], object], ...]:
    return (
        lambda: warehouse.load_day(ledger_row(DAY, 1, FEW), []),
        warehouse.ledger,
        lambda: warehouse.totals([DAY]),
        lambda: warehouse.facts(DAY, DAY),
        lambda: warehouse.query("SELECT * FROM redshift_fact_events"),
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"host": "nowhere.invalid"}, r"recruitment on nowhere.invalid:\d+ cannot be reached: (Name|No address|Temp)"),
        ({"port": free_port()}, r"recruitment on 127.0.0.1:\d+ cannot be reached: Connection refused"),
        ({"password": SecretStr("wrong")}, 'cannot be reached: password authentication failed for user "recruitment"'),
        ({"password": None}, 'cannot be reached: password authentication failed for user "recruitment"'),
        ({"user": "stranger"}, 'cannot be reached: password authentication failed for user "stranger"'),
        ({"database": "missing"}, 'missing on .* cannot be reached: database "missing" does not exist'),
        ({"tls": "verify-full"}, "cannot be reached: Server refuses SSL"),
    ],
    ids=["host", "port", "password", "no password", "user", "database", "TLS"],
)
def test_a_warehouse_that_cannot_be_reached_is_told_in_one_line(
    redshift: RedshiftPlace, fields: dict[str, Any], told: str
) -> None:
    warehouse = changed(redshift, **fields)
    for action in actions(warehouse)[:2]:
        with pytest.raises(StoreUnavailableError, match=told) as caught:
            action()
        assert str(caught.value).endswith("nothing was changed")
        assert "\n" not in str(caught.value)


def test_a_server_that_says_nothing_is_not_waited_for_without_end(
    redshift: RedshiftPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recruitment_platform.resources.redshift.session._CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        warehouse = changed(redshift, port=silent.getsockname()[1])
        with pytest.raises(StoreUnavailableError, match="cannot be reached: no answer within 1 s"):
            warehouse.ledger()


@pytest.mark.parametrize("schema", ["missing", "empty"])
def test_tables_that_are_missing_are_told_with_the_command_that_makes_them(
    redshift: RedshiftPlace, schema: str
) -> None:
    name = f"{redshift.address.schema_name}_{schema}"
    if schema == "empty":
        with superuser(redshift.server) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
    warehouse = changed(redshift, schema_name=name)
    for action in actions(warehouse):
        with pytest.raises(SettingsError, match=rf"{name} .*run recruitment-platform migrate") as caught:
            action()
        assert "\n" not in str(caught.value)
    if schema == "empty":
        warehouse.create_tables()
        assert warehouse.ledger() == {}
    else:
        with pytest.raises(SettingsError, match=f"has no schema {name}; CREATE SCHEMA {name}"):
            warehouse.create_tables()


def test_a_role_that_may_not_read_the_bucket_is_told_and_changes_nothing(redshift: RedshiftPlace) -> None:
    store = redshift.store()
    row, keys = staged(store, DAY, 1, FEW)
    for role in ("arn:aws:iam::123456789012:role/another", "arn:aws:iam::1:role/o'brien", "default"):
        with pytest.raises(StoreUnavailableError, match=r"not authorized to assume IAM Role .*REDSHIFT_IAM_ROLE"):
            changed(redshift, iam_role=role).load_day(row, keys)
    warehouse = changed(redshift)
    assert warehouse.ledger() == {}
    assert warehouse.load_day(row, keys)


def test_a_bucket_that_the_cluster_does_not_find_is_told(redshift: RedshiftPlace) -> None:
    redshift.gate.fail("COPY", "XX000", "S3ServiceException:The specified bucket does not exist,Status 404")
    row, keys = staged(redshift.store(), DAY, 1, FEW)
    with pytest.raises(StoreUnavailableError, match=r"bucket does not exist.*nothing was changed"):
        changed(redshift).load_day(row, keys)


def test_a_warehouse_without_a_bucket_or_a_role_is_not_opened(redshift: RedshiftPlace, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Redshift loads from S3 only"):
        open_redshift(redshift.address, FolderStore(tmp_path))
    with pytest.raises(SettingsError, match="needed is RECRUITMENT_REDSHIFT_IAM_ROLE"):
        changed(redshift, iam_role=None)


# TLS and IAM


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost with its key, signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", path.with_suffix(".key"), "-out", path),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + path.with_suffix(".key").read_text())
    return path


@pytest.fixture(scope="module")
def tls_gate(gate_process: GateProcess, postgres_server: Server, s3_server: Server, certificate: Path) -> Any:
    return open_gate(gate_process, postgres_server, s3_server, certificate)


def test_tls_is_verified_down_to_the_hosts_name(
    redshift: RedshiftPlace, tls_gate: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = tls_gate.port()
    with pytest.raises(StoreUnavailableError, match="its certificate is not trusted"):
        changed(redshift, host="localhost", port=port, tls="verify-full").ledger()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(StoreUnavailableError, match=r"its certificate is not trusted \(.*127.0.0.1"):
        changed(redshift, port=port, tls="verify-full").ledger()
    assert changed(redshift, port=port, tls="verify-ca").ledger() == {}
    store = redshift.store()
    row, keys = staged(store, DAY, 1, FEW)
    warehouse = changed(redshift, host="localhost", port=port, tls="verify-full")
    assert warehouse.load_day(row, keys)
    check_day(warehouse, row, FEW)


ANSWERS = {
    "GetClusterCredentials": "<DbUser>{user}</DbUser><DbPassword>{password}</DbPassword>"
    "<Expiration>{until}</Expiration>",
    "DescribeClusters": "<Clusters><Cluster><Endpoint><Address>localhost</Address><Port>{port}</Port></Endpoint>"
    "</Cluster></Clusters>",
}


@contextmanager
def redshift_api(**values: Any) -> Iterator[tuple[str, list[str]]]:
    """AWS's own API of Redshift, as far as the driver asks it: its address, and the requests that came."""
    requests: list[str] = []

    class Api(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            requests.append(body)
            # Without a host the driver first tries whether the cluster has a domain of its own. It has none.
            action = next((name for name in ANSWERS if name in body and "CustomDomain" not in body), None)
            if action is None:
                status, content = 400, "<Error><Code>InvalidParameterValue</Code><Message>no domain</Message></Error>"
            else:
                status, content = 200, f"<{action}Result>{ANSWERS[action].format(**values)}</{action}Result>"
            answer = f"<Response>{content}</Response>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            """Nothing on stderr."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()


def test_a_cluster_is_entered_by_temporary_credentials_of_iam(
    redshift: RedshiftPlace, tls_gate: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    address = RedshiftAddress(
        cluster="our-cluster",
        region="eu-west-1",
        user=redshift.server.user,
        schema_name=redshift.address.schema_name,
        iam_role=redshift.address.iam_role,
        host=None,
        port=5439,
        password=None,
        tls="verify-full",
    )
    until = (datetime.now(UTC) + timedelta(minutes=15)).isoformat()
    values = {"user": redshift.server.user, "password": redshift.server.password, "until": until}
    with redshift_api(**values, port=tls_gate.port()) as (api, requests):
        monkeypatch.setenv("AWS_ENDPOINT_URL_REDSHIFT", api)
        warehouse = open_redshift(address, redshift.store())
        row, keys = staged(redshift.store(), DAY, 1, FEW)
        assert warehouse.load_day(row, keys)
        check_day(warehouse, row, FEW)
    assert any("ClusterIdentifier=our-cluster" in request and "DbUser=recruitment" in request for request in requests)
    monkeypatch.setenv("AWS_ENDPOINT_URL_REDSHIFT", "http://127.0.0.1:1")
    with pytest.raises(
        StoreUnavailableError, match="recruitment on another cannot be reached: Could not connect"
    ) as caught:
        open_redshift(address.model_copy(update={"cluster": "another"}), redshift.store()).ledger()
    assert SECRET not in str(caught.value)


# Secrets


def test_secrets_are_in_no_message_log_statement_or_traceback(
    redshift: RedshiftPlace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {redshift.server.password, SECRET, redshift.bucket.secret_key.get_secret_value()}  # type: ignore[union-attr]
    wrong: tuple[dict[str, Any], ...] = (
        {"password": SecretStr(SECRET)},
        {"user": "stranger", "password": SecretStr(SECRET)},
        {"database": "missing"},
        {"port": 1},
        {"tls": "verify-full"},
        {"schema_name": "missing"},
    )
    told = []
    for fields in wrong:
        warehouse = changed(redshift, **fields)
        with pytest.raises(PlatformError) as caught:
            actions(warehouse)[0]()
        told += [repr(warehouse.__dict__), *whole_traceback(caught.value)]
    row, keys = staged(redshift.store(), DAY, 1, FEW)
    with pytest.raises(PlatformError) as caught:
        changed(redshift, iam_role="arn:aws:iam::1:role/another").load_day(row, keys)
    told += whole_traceback(caught.value)
    redshift.gate.fail("COPY", "XX000", "1023", times=1)
    assert changed(redshift).load_day(row, keys)
    told += [caplog.text, *redshift.gate.statements(), redshift.server.log.read_text()]
    assert "ErrorResponse received from BE" in caplog.text  # the driver's own log is among it
    assert any("in_transaction.address" in text for text in told)  # and the frames' variables are
    assert [text for text in told if any(secret in text for secret in secrets)] == []


def whole_traceback(error: BaseException) -> list[str]:
    """The error's traceback with every variable of the platform's and the driver's frames, and so all errors behind."""
    texts = [str(error)]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename != __file__:
            texts += [f"{frame.f_code.co_qualname}.{name} = {value!r}" for name, value in frame.f_locals.items()]
    for behind in (error.__cause__, error.__context__):
        if behind is not None:
            texts += whole_traceback(behind)
    return texts
