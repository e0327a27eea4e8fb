"""Use a wheel with other people's tools: each of them in an environment outside the checkout.

python tests/integrations/run.py dist/cml_fast-*.whl

An environment is made for each line of ENVIRONMENTS, with what its requirements name. In it run the
files ``environments/check_*.py`` that are named there, each with one tool's own pipeline on
ml-latest-small, and the blocks of docs/user-guide/other-tools.md that need this tool.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "user-guide" / "other-tools.md"
MOVIELENS = ROOT.parent / "shared" / "data" / "ml-latest-small"
# implicit and Cornac have threads of their own and want one from BLAS. Each process of LensKit
# loads torch again, which takes longer than all that it computes here.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LK_NUM_PROCS": "1"}

# What LensKit needs of torch is 5 GB.
LENT = ("torch", "triton", "nvidia-", "cuda-")


class Environment(NamedTuple):
    """Requirements for pip, the checks to run with them, and whether torch is one of them."""

    requirements: tuple[str, ...]
    checks: tuple[str, ...]
    torch: bool = False


ENVIRONMENTS = {
    # RecTools needs NumPy 1.26, for which pyarrow has to be older than 26.
    "rectools": Environment(("rectools==0.19.*", "pyarrow<26"), ("rectools",)),
    "others": Environment(
        (
            "cornac>=3.0,<4",
            "faiss-cpu>=1.8",  # for Cornac's approximate search
            "hypothesis>=6",  # for LensKit's tests
            "implicit>=0.7.2,<0.8",
            "lenskit==2025.8.*",
            "mlflow-skinny>=3.0,<4",
            "tensorboard>=2.16",  # reads what the callback has logged
            "tensorboardX>=2.6,<3",
        ),
        ("lenskit", "cornac", "implicit", "logging"),
        torch=True,
    ),
}


def lend_torch(folder: Path) -> None:
    """Link the torch of the interpreter that runs this, if it has one, into an environment."""
    lent = folder / "lent"
    lent.mkdir()
    for distribution in metadata.distributions():
        if distribution.name.startswith(LENT):
            for top in {
                file.parts[0] for file in distribution.files or () if file.parts[0] != ".."
            }:
                link = lent / top
                if not link.exists():
                    link.symlink_to(distribution.locate_file(top))
    (site_packages,) = (folder / "environment" / "lib").glob("python*/site-packages")
    # Not in the environment itself, where pip might replace it.
    (site_packages / "lent.pth").write_text(f"{lent}\n")


def install(environment: Environment, wheel: Path, folder: Path) -> None:
    """Make the environment in a folder."""
    venv.create(folder / "environment", with_pip=True)
    if environment.torch:
        lend_torch(folder)
    python = str(folder / "environment" / "bin" / "python")
    # Most of what is installed is never imported, so that compiling it would be wasted.
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, str(wheel), "pytest>=8", *environment.requirements], check=True)


def run(environment: Environment, folder: Path) -> None:
    """Run the checks of an environment in its folder."""
    python = str(folder / "environment" / "bin" / "python")
    checks = ["check_page.py", *(f"check_{name}.py" for name in environment.checks)]
    for file in ("conftest.py", *checks):
        shutil.copy(HERE / "environments" / file, folder)
    shutil.copy(ROOT / "tests" / "docs" / "markdown_pages.py", folder)
    shutil.copy(PAGE, folder)
    variables = {**os.environ, **ONE_THREAD, "CML_FAST_TOOLS": " ".join(environment.checks)}
    variables.pop("PYTHONPATH", None)
    if MOVIELENS.is_dir():
        variables["CML_FAST_MOVIELENS"] = str(MOVIELENS)
    else:
        print("ml-latest-small is not in ../shared/data, beside the checkout: made-up data instead")
    command = [python, "-m", "pytest", "-q", "-ra", "-W", "ignore", "--durations=5", *checks]
    subprocess.run(command, cwd=folder, env=variables, check=True)


def main() -> None:
    (wheel,) = (Path(name).resolve() for name in sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="cml-fast-") as parent:
        folders = {name: Path(parent).resolve() / name for name in ENVIRONMENTS}
        with ThreadPoolExecutor() as pool:  # side by side: half of the time pip only waits
            list(pool.map(lambda name: install(ENVIRONMENTS[name], wheel, folders[name]), folders))
        for name, environment in ENVIRONMENTS.items():
            print(f"An environment for {', '.join(environment.checks)}", flush=True)
            run(environment, folders[name])


if __name__ == "__main__":
    main()
