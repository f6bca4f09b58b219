"""What is S3's own: uploads in parts, copies, answers that were lost, and what can go wrong, told in one line."""

import logging
import os
import signal
import traceback
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from pydantic import SecretStr

from recruitment_platform.addresses import S3Address
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.resources.objects.s3 import PART, S3Store, open_s3
from recruitment_platform.servers.ports import free_port
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.processes import at_once, in_background
from recruitment_platform_tests.resources.objects.stores import keys
from recruitment_platform_tests.servers_fixtures import StartServer

SECRET = "sesame-of-s3"
LARGE = 2 * PART + 1
AT_ONCE = timedelta(0)


@pytest.fixture
def address(s3_environment: dict[str, str]) -> S3Address:
    return S3Address()


@pytest.fixture
def store(address: S3Address, tmp_path: Path) -> S3Store:
    return open_s3(address, tmp_path / "copies")


def address_of(server: Server) -> S3Address:
    prefix = "RECRUITMENT_S3_"
    values = {name.removeprefix(prefix).lower(): value for name, value in server.environment().items()}
    return S3Address(**values)


def large_file(folder: Path, name: str = "large") -> Path:
    """A file of three parts, the last of one byte, no two alike."""
    path = folder / name
    path.write_bytes(b"".join(bytes([number]) * PART for number in (1, 2)) + b"\x03")
    return path


def calls_of(store: S3Store, operation: str) -> list[str]:
    """Gets a line at each call of the operation from now on."""
    calls: list[str] = []
    store.client.meta.events.register(f"before-call.s3.{operation}", lambda **_: calls.append(operation))
    return calls


# Addresses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"endpoint": "http://nowhere.invalid:9000"}, r"cannot be reached \(.+\): start it, or set RECRUITMENT_S3_EN"),
        ({"endpoint": "http://127.0.0.1:0"}, r"cannot be reached \(Connection refused\)"),
        ({"endpoint": "https://127.0.0.1:0"}, r"cannot be reached|is not trusted"),
        ({"access_key": "nobody"}, "refuses the access key: set RECRUITMENT_S3_ACCESS_KEY and"),
        ({"secret_key": SecretStr(SECRET)}, "refuses the access key: set RECRUITMENT_S3_ACCESS_KEY and"),
        ({"bucket": "absent"}, "has no such bucket: create it, or set RECRUITMENT_S3_BUCKET"),
    ],
    ids=["host", "port", "tls", "key", "secret", "bucket"],
)
def test_an_address_that_leads_nowhere_is_told_in_one_line_without_a_secret(
    address: S3Address, tmp_path: Path, change: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert address.secret_key is not None
    if change.get("endpoint", "").endswith(":0"):
        change = {"endpoint": change["endpoint"].removesuffix("0") + str(free_port())}
    with pytest.raises(StoreUnavailableError, match=message) as refused:
        open_s3(address.model_copy(update=change), tmp_path, tries=1)
    assert "\n" not in str(refused.value)
    for secret in (SECRET, address.secret_key.get_secret_value()):
        assert secret not in "".join(traceback.format_exception(refused.value)) + caplog.text


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDenied", "does not allow that: grant the key reading, writing, listing and deleting"),
        ("PermanentRedirect", "lies in another region: set RECRUITMENT_S3_REGION"),
        ("RequestTimeTooSkewed", "refuses this machine's time: set its clock"),
        ("ExpiredToken", "refuses credentials that have expired"),
        ("SlowDown", "failed: SlowDown, in two lines; try again later"),
    ],
)
def test_refusals_of_aws_are_told_in_one_line(store: S3Store, code: str, message: str) -> None:
    with Stubber(store.client) as server:
        server.add_client_error("put_object", code, "in two\nlines")
        with pytest.raises(StoreUnavailableError, match=message) as refused:
            store.put_if_absent("a/b", b"")
    assert "\n" not in str(refused.value)
    assert "(a/b)" in str(refused.value)


def test_a_machine_without_credentials_is_told_so(
    address: S3Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreUnavailableError, match="for want of credentials: set RECRUITMENT_S3_ACCESS_KEY"):
        open_s3(address.model_copy(update={"access_key": None, "secret_key": None}), tmp_path)


# Objects


def test_objects_lie_below_the_prefix_and_nothing_else_is_seen(store: S3Store) -> None:
    store.client.put_object(Bucket=store.bucket, Key="platform/other", Body=b"")
    assert store.put_if_absent("a/b", b"x")
    assert store.uri("a/b") == f"s3://{store.bucket}/platform/objects/a/b"
    assert store.client.head_object(Bucket=store.bucket, Key="platform/objects/a/b")["ContentLength"] == 1
    assert keys(store) == ["a/b"]


def test_thousands_of_objects_are_listed_and_deleted(store: S3Store, s3_server: Server) -> None:
    # The server's objects are the files of its folder: to put them there is quicker.
    folder = s3_server.folder / "data" / store.bucket / store.prefix / "many"
    folder.mkdir(parents=True)
    for number in range(1010):
        (folder / f"{number:04}").touch()
    deletions = calls_of(store, "DeleteObjects")
    found = keys(store, "many/")
    assert found == [f"many/{number:04}" for number in range(1010)]
    store.delete([*found, "many/absent"])
    assert (keys(store), len(deletions)) == ([], 2)


def test_an_object_whose_answer_was_lost_and_that_was_sent_again_is_ours(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(operation: str) -> None:
        once = getattr(store.client, operation)

        def call(**arguments: Any) -> Any:
            once(**arguments)
            return once(**arguments)

        monkeypatch.setattr(store.client, operation, call)

    twice("put_object")
    twice("complete_multipart_upload")
    assert store.put_if_absent("a/small", b"x")
    assert store.put_file(large_file(tmp_path), "a/large") == LARGE
    assert not store.put_if_absent("a/small", b"x"), "somebody else's, though with the same content"
    assert store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", []) == []


def test_what_the_server_asks_to_be_done_again_is_done_again(store: S3Store) -> None:
    with Stubber(store.client) as server:
        for _ in range(2):
            server.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
        server.add_response("put_object", {})
        assert store.put_if_absent("a/b", b"x")
        server.assert_no_pending_responses()


# Parts


def test_a_large_file_goes_in_parts_and_comes_back_whole(store: S3Store, tmp_path: Path) -> None:
    parts = calls_of(store, "UploadPart")
    file = large_file(tmp_path)
    content = file.read_bytes()
    assert store.put_file(file, "a/large") == LARGE
    assert not file.exists()
    assert len(parts) == 3
    assert store.get("a/large") == store.local("a/large").read_bytes() == content
    again = large_file(tmp_path)
    with pytest.raises(FileExistsError):
        store.put_file(again, "a/large")
    assert again.stat().st_size == LARGE
    assert store.clean(AT_ONCE) == 1, "the copy, and no upload"


def put_large(address: S3Address, folder: Path, writer: int) -> bool:
    folder = folder / str(writer)
    folder.mkdir()
    store = open_s3(address, folder / "copies")
    try:
        store.put_file(large_file(folder), "race/large")
    except FileExistsError:
        return False
    return True


def test_of_writers_of_one_large_object_at_once_one_does(store: S3Store, address: S3Address, tmp_path: Path) -> None:
    assert sorted(at_once(put_large, [(address, tmp_path, writer) for writer in range(2)])) == [False, True]
    assert [found.size for found in store.list("")] == [LARGE]
    assert store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", []) == []


def put_large_and_die(address: S3Address, folder: Path) -> None:
    store = open_s3(address, folder / "copies")
    parts = count()

    def kill(**_: object) -> None:
        if next(parts) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    store.client.meta.events.register("before-call.s3.UploadPart", kill)
    store.put_file(large_file(folder), "a/large")


def test_what_a_killed_writer_leaves_is_no_object_and_can_be_cleaned(
    store: S3Store, address: S3Address, tmp_path: Path
) -> None:
    writer = in_background(put_large_and_die, address, tmp_path)
    writer.join(60)
    assert writer.exitcode == -signal.SIGKILL
    assert keys(store) == []
    assert store.clean(timedelta(hours=1)) == 0
    assert len(store.client.list_multipart_uploads(Bucket=store.bucket)["Uploads"]) == 1
    assert store.clean(AT_ONCE) == 1
    assert store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", []) == []
    assert store.put_file(tmp_path / "large", "a/large") == LARGE


@pytest.mark.parametrize(
    "operation", ["UploadPart", "CompleteMultipartUpload", "PutObject", "GetObject", "ListObjectsV2", "DeleteObjects"]
)
def test_a_server_killed_before_any_step_has_whole_objects_only_and_the_step_can_be_done_again(
    server_start: StartServer, tmp_path: Path, operation: str
) -> None:
    server = server_start("s3")
    store = open_s3(address_of(server), tmp_path / "copies", tries=1)
    assert store.put_if_absent("a/small", b"x")
    file = large_file(tmp_path)
    steps: dict[str, Callable[[], object]] = {
        "UploadPart": lambda: store.put_file(file, "a/large"),
        "CompleteMultipartUpload": lambda: store.put_file(file, "a/large"),
        "PutObject": lambda: store.put_if_absent("a/new", b"y"),
        "GetObject": lambda: store.get("a/small"),
        "ListObjectsV2": lambda: store.list(""),
        "DeleteObjects": lambda: store.delete(["a/small"]),
    }
    killed = count()
    store.client.meta.events.register(
        f"before-send.s3.{operation}", lambda **_: server.kill() if next(killed) == 0 else None
    )
    with pytest.raises(StoreUnavailableError, match=r"cannot be reached \(.+\): start it") as lost:
        steps[operation]()
    assert "\n" not in str(lost.value)
    server.restart()
    assert keys(store) == ["a/small"]
    assert file.stat().st_size == LARGE
    steps[operation]()
    assert store.put_if_absent("a/small", b"x") == (operation == "DeleteObjects")


# Copies


def test_an_object_is_fetched_once_and_again_only_where_its_copy_is_damaged(store: S3Store, address: S3Address) -> None:
    fetched = calls_of(store, "GetObject")
    store.put_if_absent("a/rows.parquet", b"rows")
    copy = store.local("a/rows.parquet")
    assert (copy.name, copy.read_bytes()) == ("rows.parquet", b"rows")
    assert store.local("a/rows.parquet") == copy == open_s3(address, store.scratch).local("a/rows.parquet")
    assert len(fetched) == 1
    copy.write_bytes(b"row")
    assert store.local("a/rows.parquet").read_bytes() == b"rows"
    assert len(fetched) == 2


def test_a_copy_is_of_the_object_as_it_is_now(store: S3Store) -> None:
    store.put_if_absent("a/b", b"first")
    assert store.local("a/b").read_bytes() == b"first"
    store.delete(["a/b"])
    with pytest.raises(FileNotFoundError):
        store.local("a/b")
    store.put_if_absent("a/b", b"after")
    assert store.local("a/b").read_bytes() == b"after"


def test_copies_that_nobody_used_for_long_are_removed(store: S3Store) -> None:
    for key in ("a/old", "a/used"):
        store.put_if_absent(key, b"x")
        os.utime(store.local(key), (0, 0))
    half = store.local("a/used").with_name(".writing-killed")
    half.write_bytes(b"half of")
    os.utime(half, (0, 0))
    store.local("a/used")
    assert store.clean(timedelta(days=1)) == 2
    assert [path.name for path in store.scratch.glob("*/*")] == ["used"]
    assert keys(store) == ["a/old", "a/used"]


def test_copies_that_cannot_be_kept_are_told_in_one_line(store: S3Store) -> None:
    store.put_if_absent("a/b", b"x")
    store.scratch.parent.mkdir(exist_ok=True)
    store.scratch.write_text("a file")
    with pytest.raises(StoreUnavailableError, match=r"copies of objects cannot be kept in .+: Not a directory \(b\)"):
        store.local("a/b")
    assert store.get("a/b") == b"x"
