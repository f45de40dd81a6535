"""What a run was made on, so that it can be judged and repeated."""

import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata

import threadpoolctl

PACKAGES = ["numpy", "scipy", "scikit-learn", "spams-bin", "dictlearn", "numba", "joblib"]
OPTIONAL = ["torch", "orthogonal-matching-pursuit-gpu"]


def describe(root):
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join([os.path.basename(sys.executable), *sys.argv]),
        "commit": output(["git", "describe", "--always", "--dirty"], root),
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
        "rustc": output(["rustc", "--version"], root),
        "python": platform.python_version(),
        "packages": packages(),
        "spams_build": spams_build(),
        "blas": blas(),
    }


def packages():
    """The versions of what is compared; what is optional may be missing."""
    installed = {distribution.name for distribution in metadata.distributions()}
    names = PACKAGES + [name for name in OPTIONAL if name in installed]
    return {name: metadata.version(name) for name in names}


def cpu():
    """The processor's name, with the numbers that tell its generation."""
    fields = {}
    with open("/proc/cpuinfo") as file:
        for line in file:
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name", platform.processor())
    return f"{name} (family {fields.get('cpu family')}, model {fields.get('model')})"


def spams_build():
    """Whether SPAMS is the binary of PyPI or was built on this machine."""
    wheel = metadata.distribution("spams-bin").read_text("WHEEL") or ""
    return "PyPI binary" if "manylinux" in wheel else "built from source here"


def blas():
    fields = ["internal_api", "version", "architecture", "filepath"]
    libraries = threadpoolctl.threadpool_info()
    found = [
        {field: library[field] for field in fields}
        for library in libraries
        if library["user_api"] == "blas"
    ]
    for library in found:
        library["filepath"] = os.path.basename(library["filepath"])
    return found


def output(command, folder):
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()
