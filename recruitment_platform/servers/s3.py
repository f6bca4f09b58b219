"""An S3 server as a process of this machine: versitygw, which serves a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recruitment_platform.servers.go import build
from recruitment_platform.servers.server import Kind, Server
from recruitment_platform.servers.software import installed

VERSION = "1.8.0"

USER = BUCKET = "recruitment"
REGION = "us-east-1"

_PROGRAM = "versitygw"
_MODULE = f"github.com/versity/versitygw/cmd/{_PROGRAM}@v{VERSION}"
_PROBE_SECONDS = 2


def _install() -> Path:
    return installed(f"versitygw-{VERSION}", lambda folder: build(_MODULE, folder))


def _prepare(server: Server, software: Path) -> None:
    # The server's buckets are the folders in its folder.
    (server.folder / "data" / BUCKET).mkdir(parents=True)


def _command(server: Server, software: Path) -> Sequence[str]:
    tls = server.kind.tls
    return [
        *(str(software / _PROGRAM), "--quiet", "--port", f"{server.host}:{server.port}", "--region", REGION),
        *(["--cert", str(tls.certificate), "--key", str(tls.certificate)] if tls else []),
        *("posix", str(server.folder / "data")),
    ]


def _variables(server: Server, software: Path) -> dict[str, str]:
    return {"ROOT_ACCESS_KEY": USER, "ROOT_SECRET_KEY": server.password}


def client(server: Server) -> Any:
    """boto3's client of the server."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=_endpoint(server),
        verify=server.kind.tls and str(server.kind.tls.authority),
        region_name=REGION,
        aws_access_key_id=USER,
        aws_secret_access_key=server.password,
        config=Config(connect_timeout=_PROBE_SECONDS, read_timeout=_PROBE_SECONDS, retries={"total_max_attempts": 1}),
    )


def _probe(server: Server) -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError

    connected = client(server)
    try:
        connected.head_bucket(Bucket=BUCKET)
    except (BotoCoreError, ClientError) as error:
        return str(error)
    finally:
        connected.close()
    return None


def _addresses(server: Server) -> dict[str, str]:
    return {
        "RECRUITMENT_S3_ENDPOINT": _endpoint(server),
        "RECRUITMENT_S3_REGION": REGION,
        "RECRUITMENT_S3_BUCKET": BUCKET,
        "RECRUITMENT_S3_ACCESS_KEY": USER,
        "RECRUITMENT_S3_SECRET_KEY": server.password,
        **({"RECRUITMENT_S3_TLS_CA": str(server.kind.tls.authority)} if server.kind.tls else {}),
    }


def _endpoint(server: Server) -> str:
    return f"{'https' if server.kind.tls else 'http'}://{server.host}:{server.port}"


KIND = Kind(
    name="s3",
    title=f"S3 (versitygw {VERSION})",
    ports=1,
    user=USER,
    install=_install,
    prepare=_prepare,
    command=_command,
    variables=_variables,
    probe=_probe,
    addresses=_addresses,
)
