"""The object stores that the conformance suite runs on.

What belongs here: how a test opens each implementation, and small helpers to look into one. No tests.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from recruitment_platform.addresses import S3Address
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform.resources.objects.s3 import S3Store, open_s3
from recruitment_platform.resources.protocols import ObjectStore
from recruitment_platform.servers import s3
from recruitment_platform.servers.server import Server


def _open_folder(folder: Path) -> ObjectStore:
    return FolderStore(folder / "objects")


def _open_s3(folder: Path) -> S3Store:
    return open_s3(S3Address(), folder / "copies")


OPENERS: Mapping[str, Callable[[Path], ObjectStore]] = {"folder": _open_folder, "s3": _open_s3}
"""Each object store, made or opened again by a folder, or by the bucket that this process's environment names."""


def chosen(request: pytest.FixtureRequest) -> str:
    """The store of a parametrized fixture; a bucket for the test is there, where it is a server's."""
    if request.param != "folder":
        request.getfixturevalue("s3_environment")
    return str(request.param)


def fresh_bucket(server: Server) -> dict[str, str]:
    """The environment that leads to a bucket of the server made for this, within which a prefix is ours."""
    name = f"test{uuid4().hex[:12]}"
    with closing(s3.client(server)) as client:
        client.create_bucket(Bucket=name)
    return server.environment() | {"RECRUITMENT_S3_BUCKET": name, "RECRUITMENT_S3_PREFIX": "platform/objects/"}


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    """The keys of the objects under the prefix."""
    return [found.key for found in store.list(prefix)]
