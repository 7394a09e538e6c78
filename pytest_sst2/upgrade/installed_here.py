"""The environment of this process, in which commits are compared if no package changes."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pytest_sst2.upgrade.checkouts import Checkout
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import short_digest

# Run by this interpreter with the paths of a commit: prints where it would import some modules from, as JSON.
_FIND_SCRIPT = """
import importlib.util, json, sys
found = {}
for name in sys.argv[1:]:
    spec = importlib.util.find_spec(name)
    origin = spec.origin if spec and spec.has_location else None
    found[name] = origin or next(iter(spec and spec.submodule_search_locations or ()), "")
print(json.dumps(found))
"""


class InstalledHere(BuiltEnvironment):
    """The environment of this process."""

    @property
    def _packages_key(self) -> str:
        return _digest_of_packages()

    @property
    def python(self) -> Path:
        """The interpreter of this process."""
        return Path(sys.executable)

    def variables(self) -> dict[str, str]:
        """Return the environment variables of a process that runs this interpreter."""
        own = {name: os.environ[name] for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV") if name in os.environ}
        return self._with_commit({**super().variables(), **own})

    def shell_variables(self) -> dict[str, str]:
        """Return the variables of a command, which finds the programs of this environment first."""
        return {**self.variables(), "PATH": os.pathsep.join((str(self.python.parent), *os.get_exec_path()))}


def installed_here() -> InstalledHere:
    """Return the environment of this process."""
    return InstalledHere(Path(sys.prefix), {}, 0.0)


@functools.cache
def _digest_of_packages() -> str:
    packages = {f"{one.metadata['Name']}=={one.version}" for one in metadata.distributions()}
    return short_digest("\n".join((sys.executable, platform.python_version(), *sorted(packages))))


@dataclass(frozen=True)
class InstalledProject:
    """A project of the repository that is installed here: its folder, relative to the top, and its modules."""

    folder: Path
    modules: tuple[str, ...]


def installed_projects(top: Path) -> list[InstalledProject]:
    """Return the projects that are installed here from folders of a repository, such as by ``pip install -e``."""
    projects = []
    for distribution in metadata.distributions():
        try:
            address = urlsplit(json.loads(distribution.read_text("direct_url.json") or "{}").get("url", ""))
        except (ValueError, AttributeError):
            continue
        folder = Path(unquote(address.path)).resolve()
        if address.scheme == "file" and folder.is_relative_to(top):
            modules = (distribution.read_text("top_level.txt") or "").split()
            projects.append(InstalledProject(folder.relative_to(top), tuple(filter(str.isidentifier, modules))))
    return projects


def import_folders(projects: Sequence[InstalledProject], top: Path) -> list[Path]:
    """Return the folders of a repository in which this process looks for modules, relative to its top."""
    searched = [Path(path).resolve() for path in sys.path if path]
    folders = [
        *(project.folder for project in projects),
        *(path.relative_to(top) for path in searched if path.is_relative_to(top)),
    ]
    return list(dict.fromkeys(folders))


def check_imports(projects: Sequence[InstalledProject], environment: InstalledHere, checkout: Checkout) -> None:
    """Refuse to compare commits if the modules of a project would not be imported from the commit.

    Raises:
        Sst2Error: A module would be imported from elsewhere, so both commits would run the same code.
    """
    modules = [module for project in projects for module in project.modules]
    if not modules:
        return
    command = [str(environment.python), "-P", "-c", _FIND_SCRIPT, *modules]
    variables = environment.at(checkout).variables()
    done = subprocess.run(
        command, cwd=checkout.folder, env=variables, capture_output=True, text=True, errors="replace", check=False
    )
    found = json.loads(done.stdout) if done.returncode == 0 else {}
    for module, place in found.items():
        if place and not Path(place).resolve().is_relative_to(checkout.top.resolve()):
            raise Sst2Error(
                f"the commits cannot be compared: Python imports {module} from {place!r}, not from the files of a "
                f"commit. A module of the commits is found in their top folder, in its folder src, or where "
                "`pip install -e` found the project."
            )
