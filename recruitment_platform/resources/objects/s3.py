"""The object store in a bucket of S3, or of a server that speaks its protocol.

What belongs here: objects that appear whole or not at all, under conditions that the server checks; local copies of
them; what the server's errors mean. What does not: what the objects hold (`pipeline`).
"""

import errno
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import boto3
from botocore import exceptions as boto
from botocore.config import Config

from recruitment_platform.addresses import S3Address
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.resources.objects.folder import check_key
from recruitment_platform.resources.protocols import StoredObject

PART = 16 * 2**20
"""Bytes of a part: a file of more is sent in parts, of which a server takes 10,000."""
_MOST_PARTS = 10_000

_CONNECT_SECONDS, _ANSWER_SECONDS = 10, 60
_TRIES = 5  # of what a server asks us to do again, or breaks off
_DELETED_AT_ONCE = 1000  # the protocol's limit
_CHUNK = 2**20

# A dot in front keeps it out of what is looked up.
_TEMPORARY = ".writing-"

_ABSENT = frozenset({"NoSuchKey", "NotFound", "404"})
_EXISTS = frozenset({"PreconditionFailed", "412"})
_CONFLICT = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})
_WRONG_KEY = "refuses the access key: set RECRUITMENT_S3_ACCESS_KEY and RECRUITMENT_S3_SECRET_KEY"
_WRONG_REGION = "lies in another region: set RECRUITMENT_S3_REGION"
_CAUSES = {
    "NoSuchBucket": "has no such bucket: create it, or set RECRUITMENT_S3_BUCKET",
    "InvalidAccessKeyId": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_KEY,
    "InvalidToken": _WRONG_KEY,
    "XAdminUserNotFound": _WRONG_KEY,  # as versitygw says it
    "ExpiredToken": "refuses credentials that have expired: renew them, then try again",
    "AccessDenied": "does not allow that: grant the key reading, writing, listing and deleting in the bucket",
    "403": "does not allow that: grant the key reading, writing, listing and deleting in the bucket",
    "PermanentRedirect": _WRONG_REGION,
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "RequestTimeTooSkewed": "refuses this machine's time: set its clock",
}


Parts = list[dict[str, Any]]
Result = TypeVar("Result")


class S3Store:
    """Implements `ObjectStore` in a bucket, for any number of processes at once.

    Keys are as `FolderStore` takes them. The server must check `If-None-Match` when objects are put and when uploads
    in parts are completed. Every call raises StoreUnavailableError, in one line, where the server cannot be asked.
    """

    def __init__(self, client: Any, bucket: str, prefix: str, scratch: Path) -> None:
        """`client` is boto3's; `prefix` is empty or ends with a slash; `scratch` is a folder for copies of objects."""
        self.client = client
        self.bucket = bucket
        self.prefix = prefix
        self.scratch = scratch.absolute()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Creates the object whole and durable; False, changing nothing, where the key exists."""
        check_key(key)
        with self._asking(key):
            return self._put(key, data)

    def put_file(self, path: Path, key: str) -> int:
        """Moves a local file to a new key, durable on return; returns its size in bytes.

        Raises FileExistsError where the key exists (objects are immutable); the local file is removed only after
        success.
        """
        check_key(key)
        size = path.stat().st_size
        with self._asking(key):
            if size <= PART:
                created = self._put(key, path.read_bytes())
            else:
                created = self._head(key) is None and self._put_in_parts(path, key, size)
        if not created:
            raise FileExistsError(errno.EEXIST, "objects are immutable, and there is one", key)
        path.unlink()
        return size

    def get(self, key: str) -> bytes:
        """The object's content; FileNotFoundError where there is none."""
        check_key(key)

        def read() -> bytes:
            content: bytes = self.client.get_object(**self._of(key))["Body"].read()
            return content

        with self._asking(key):
            return _again(read)

    def list(self, prefix: str) -> list[StoredObject]:
        """Objects whose key starts with the prefix (empty, or ending with a slash), by key."""
        if prefix and not prefix.endswith("/"):
            raise ValueError(f"prefix {prefix!r} does not end with a slash")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
        with self._asking(prefix or "all objects"):
            found = [
                StoredObject(entry["Key"].removeprefix(self.prefix), entry["Size"], entry["LastModified"])
                for page in pages
                for entry in page.get("Contents", ())
                if not entry["Key"].endswith("/")  # a folder that somebody made by hand
            ]
        return sorted(found, key=lambda stored: stored.key)

    def local(self, key: str) -> Path:
        """A copy of the object, to be read only, fetched at the first call; FileNotFoundError where there is none.

        Copies are kept until `clean` finds them unused. Also raises StoreUnavailableError where there is no room.
        """
        check_key(key)
        with self._asking(key):
            head = self._head(key)
            if head is None:
                raise _absent(key)
            path = self._copy_of(key, head["ETag"])
            with self._keeping(path):
                if path.is_file() and path.stat().st_size == head["ContentLength"]:
                    os.utime(path)
                else:
                    _again(lambda: self._fetch(key, path, head))
        return path

    def uri(self, key: str) -> str:
        """`s3://` bucket, prefix, key."""
        return f"s3://{self.bucket}/{self.prefix}{key}"

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; ones that are absent are no error."""
        unwanted = list(keys)
        for key in unwanted:
            check_key(key)
        for some in (unwanted[n : n + _DELETED_AT_ONCE] for n in range(0, len(unwanted), _DELETED_AT_ONCE)):
            with self._asking(some[0] if len(some) == 1 else f"{some[0]} and {len(some) - 1} more"):
                answer = self.client.delete_objects(
                    Bucket=self.bucket,
                    Delete={"Objects": [{"Key": self.prefix + key} for key in some], "Quiet": True},
                )
                for error in answer.get("Errors", ()):
                    if error.get("Code") not in _ABSENT:
                        raise boto.ClientError({"Error": error}, "DeleteObjects")

    def clean(self, older_than: timedelta) -> int:
        """Removes uploads in parts that were begun and not ended, and copies unused, for that long; returns how many.

        A copy that is being read stays readable.
        """
        before = datetime.now(UTC) - older_than
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
        removed = 0
        with self._asking("uploads in parts"):
            for upload in [upload for page in pages for upload in page.get("Uploads", ())]:
                if upload["Initiated"] <= before:
                    self._abort(upload["Key"], upload["UploadId"])
                    removed += 1
        for path in self.scratch.glob("*/*"):
            with self._keeping(path), suppress(FileNotFoundError):
                if path.stat().st_mtime <= before.timestamp():
                    path.unlink()
                    removed += 1
                    with suppress(OSError):
                        path.parent.rmdir()
        return removed

    def _of(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.prefix + key}

    def _head(self, key: str) -> dict[str, Any] | None:
        """What the server tells of the object; None where there is none."""
        try:
            head: dict[str, Any] = self.client.head_object(**self._of(key))
        except boto.ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        return head

    def _put(self, key: str, data: bytes) -> bool:
        writer = uuid4().hex
        return self._created(
            key,
            writer,
            lambda: self.client.put_object(**self._of(key), Body=data, IfNoneMatch="*", Metadata={"writer": writer}),
        )

    def _put_in_parts(self, path: Path, key: str, size: int) -> bool:
        writer = uuid4().hex

        def send() -> None:
            upload = self.client.create_multipart_upload(
                **self._of(key), Metadata={"writer": writer}, ChecksumAlgorithm="CRC32"
            )["UploadId"]
            try:
                sent = self._send_parts(path, key, upload, max(PART, -(-size // _MOST_PARTS)))
                self.client.complete_multipart_upload(
                    **self._of(key), UploadId=upload, MultipartUpload={"Parts": sent}, IfNoneMatch="*"
                )
            except BaseException:
                with suppress(boto.BotoCoreError, boto.ClientError):
                    self._abort(self.prefix + key, upload)
                raise

        return self._created(key, writer, send)

    def _send_parts(self, path: Path, key: str, upload: str, part: int) -> Parts:
        sent: Parts = []
        with path.open("rb") as file:
            while data := file.read(part):
                number = len(sent) + 1
                answer = self.client.upload_part(
                    **self._of(key), UploadId=upload, PartNumber=number, Body=data, ChecksumAlgorithm="CRC32"
                )
                sent.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": answer["ChecksumCRC32"]})
        return sent

    def _created(self, key: str, writer: str, create: Callable[[], object]) -> bool:
        """Creates the object; whether it is ours, where an answer was lost and the same was asked twice, too."""
        for attempt in count(1):
            try:
                create()
            except boto.ClientError as error:
                code = _code(error)
                if code in _CONFLICT and attempt < _TRIES:
                    time.sleep(random.uniform(0, 0.1 * 2**attempt))
                    continue
                if code not in _EXISTS and code != "NoSuchUpload":
                    raise
                head = self._head(key)
                if head is None and code == "NoSuchUpload":
                    raise
                return head is not None and head["Metadata"].get("writer") == writer
            return True
        raise AssertionError("unreachable")

    def _abort(self, full_key: str, upload: str) -> None:
        try:
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=full_key, UploadId=upload)
        except boto.ClientError as error:
            if _code(error) != "NoSuchUpload":
                raise

    def _copy_of(self, key: str, etag: str) -> Path:
        # By content, too: a key that was deleted may come again with another one.
        name = hashlib.sha256(f"{self.client.meta.endpoint_url}\0{self.uri(key)}\0{etag}".encode()).hexdigest()
        return self.scratch / name[:24] / key.rpartition("/")[2]

    def _fetch(self, key: str, path: Path, head: dict[str, Any]) -> None:
        """Fetches the content that `head` tells of into the path, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{_TEMPORARY}{uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                body = self.client.get_object(**self._of(key), IfMatch=head["ETag"])["Body"]
                for chunk in body.iter_chunks(_CHUNK):
                    file.write(chunk)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _keeping(self, path: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreUnavailableError(
                f"copies of objects cannot be kept in {self.scratch}: {error.strerror or error} ({path.name}). "
                "Make room or make it writable, then try again"
            ) from error

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        """Turns the server's failures into one line; an object that is absent into FileNotFoundError."""
        where = f"the object store s3://{self.bucket} at {self.client.meta.endpoint_url}"
        try:
            yield
        except boto.ClientError as error:
            code = _code(error)
            if code in _ABSENT:
                raise _absent(key) from error
            told = error.response.get("Error", {}).get("Message") or "no more is told"
            cause = _CAUSES.get(code) or f"failed: {code}, {told}; try again later"
            raise StoreUnavailableError(f"{where} {cause} ({key})".replace("\n", " ")) from error
        except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
            raise StoreUnavailableError(
                f"{where} is not asked, for want of credentials: set RECRUITMENT_S3_ACCESS_KEY and "
                "RECRUITMENT_S3_SECRET_KEY, or give this machine a role"
            ) from error
        except boto.SSLError as error:
            raise StoreUnavailableError(
                f"{where} is not trusted ({_reason(error)}): set RECRUITMENT_S3_TLS_CA to its authority, and "
                "RECRUITMENT_S3_ENDPOINT to a name that its certificate has, or to http:// where it speaks no TLS"
            ) from error
        except (boto.HTTPClientError, boto.ConnectionError) as error:
            raise StoreUnavailableError(
                f"{where} cannot be reached ({_reason(error)}): start it, or set RECRUITMENT_S3_ENDPOINT ({key})"
            ) from error
        except boto.BotoCoreError as error:
            raise StoreUnavailableError(f"{where} failed: {_reason(error)} ({key})") from error


def open_s3(address: S3Address, scratch: Path, tries: int = 4) -> S3Store:
    """The store in the bucket at the address, with copies of objects in the folder `scratch`.

    Raises StoreUnavailableError, in one line, where the server cannot be reached, refuses the key, has no such bucket,
    or does not allow it to be listed; each request is sent `tries` times at most.
    """
    secret = None if address.secret_key is None else address.secret_key.get_secret_value()
    client = boto3.client(
        "s3",
        endpoint_url=address.endpoint,
        region_name=address.region,
        aws_access_key_id=address.access_key,
        aws_secret_access_key=secret,
        verify=None if address.tls_ca is None else str(address.tls_ca),
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_ANSWER_SECONDS,
            retries={"mode": "standard", "total_max_attempts": tries},
            s3={"addressing_style": "path" if address.endpoint else "auto"},
        ),
    )
    store = S3Store(client, address.bucket, address.prefix, scratch)
    with store._asking("looking into it"):
        client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix, MaxKeys=1)
    return store


def _code(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _again(read: Callable[[], Result]) -> Result:
    """Reads, and again where a connection breaks off in the middle of an object, which boto3 leaves to us."""
    for _ in range(_TRIES - 1):
        with suppress(boto.IncompleteReadError, boto.ResponseStreamingError, boto.ReadTimeoutError):
            return read()
    return read()


def _absent(key: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "no such object", key)


def _reason(error: Exception) -> str:
    """The innermost cause, in one line: outer ones repeat it with addresses of objects in memory."""
    cause: BaseException = error
    while cause.__context__ is not None or cause.__cause__ is not None:
        cause = cause.__cause__ or cause.__context__ or cause
    told = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return " ".join(str(told).split())
