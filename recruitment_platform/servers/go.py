"""Programs built by Go, with the Go that they ask for where the machine's is older."""

import json
import platform
import re
from pathlib import Path

from recruitment_platform.errors import InputError
from recruitment_platform.servers.software import run, tell, tool

TOOLCHAIN = "1.25.0"
"""The oldest Go that builds what is built here."""

_FETCHES_OTHERS = (1, 21)
"""From this version on, Go itself fetches the newer Go that a module asks for."""

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def build(module: str, folder: Path) -> None:
    """Builds the program of the module, given as path@version, into the folder."""
    go = tool("go", "apt-get install golang-go")
    version = run([go, "env", "GOVERSION"], "asking Go for its version")
    number = re.match(r"go(\d+)\.(\d+)", version)
    chosen = "auto"
    if number is None or (int(number[1]), int(number[2])) < _FETCHES_OTHERS:
        go, chosen = _newer(go), "local"
    tell(f"building {module} by Go, which takes a minute or two")
    run(
        [go, "install", module],
        f"building {module}",
        environment={"GOBIN": str(folder), "GOTOOLCHAIN": chosen, "CGO_ENABLED": "0"},
    )


def _newer(go: str) -> str:
    """The program of a newer Go, fetched as the module that Go's own successors fetch."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise InputError(f"Go {TOOLCHAIN} or later is needed: install it")
    module = f"golang.org/toolchain@v0.0.1-go{TOOLCHAIN}.linux-{machine}"
    tell(f"fetching Go {TOOLCHAIN}")
    told = json.loads(run([go, "mod", "download", "-json", module], f"fetching {module}"))
    root = Path(told["Dir"])
    # A module's files are none that can be run.
    for path in [*root.glob("bin/*"), *root.glob("pkg/tool/**/*")]:
        if path.is_file():
            path.chmod(0o555)
    return str(root / "bin" / "go")
