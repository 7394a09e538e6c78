"""Test lock files of other tools: what they pin here, what is left out, and what is refused."""

from __future__ import annotations

import pytest

from pytest_sst2.upgrade.lock_files import lock_of_text
from pytest_sst2.utils.errors import Sst2Error

INDEX = 'source = { registry = "https://pypi.example/simple" }'
UV = f"""
version = 1
revision = 5
requires-python = ">=3.11"
resolution-markers = ["python_full_version >= '3.11'", "python_full_version < '3.11'"]

[[package]]
name = "app"
version = "1"
source = {{ virtual = "." }}
dependencies = [
    {{ name = "numpy", version = "1.26.4", marker = "python_full_version < '3.11'" }},
    {{ name = "numpy", version = "2.4.6", marker = "python_full_version >= '3.11'" }},
    {{ name = "tqdm", extra = ["notebook"] }},
    {{ name = "our-tool" }},
]

[package.dev-dependencies]
dev = [{{ name = "iniconfig" }}]

[[package]]
name = "iniconfig"
version = "2.0"
{INDEX}

[[package]]
name = "numpy"
version = "1.26.4"
{INDEX}
resolution-markers = ["python_full_version < '3.11'"]

[[package]]
name = "numpy"
version = "2.4.6"
{INDEX}
resolution-markers = ["python_full_version >= '3.11'"]

[[package]]
name = "tqdm"
version = "4.67"
{INDEX}
dependencies = [{{ name = "colorama", marker = "sys_platform == 'nowhere'" }}]

[package.optional-dependencies]
notebook = [{{ name = "ipywidgets" }}]
slack = [{{ name = "slack-sdk" }}]

[[package]]
name = "colorama"
version = "0.4"
{INDEX}

[[package]]
name = "IPyWidgets"
version = "8.1"
{INDEX}
dependencies = [{{ name = "tqdm" }}]

[[package]]
name = "slack-sdk"
version = "3"
{INDEX}

[[package]]
name = "our-tool"
version = "1.0"
source = {{ git = "https://git.example/our-tool" }}
"""
UV_SCRIPT = f"""
version = 1
revision = 3

[manifest]
requirements = [{{ name = "tqdm", specifier = ">=4" }}]

[[package]]
name = "tqdm"
version = "4.67"
{INDEX}
dependencies = [{{ name = "colorama", marker = "sys_platform == 'nowhere'" }}]

[[package]]
name = "colorama"
version = "0.4"
{INDEX}
"""
PYLOCK = """
lock-version = "1.0"
created-by = "hand"
extras = ["gpu"]
dependency-groups = ["dev"]
default-groups = ["dev"]

[[packages]]
name = "numpy"
version = "2.4.6"
index = "https://pypi.example/simple"

[[packages]]
name = "pywin32"
version = "300"
marker = "sys_platform == 'nowhere'"

[[packages]]
name = "cupy"
version = "13"
marker = "'gpu' in extras"

[[packages]]
name = "iniconfig"
version = "2.0"
marker = "'dev' in dependency_groups"

[[packages]]
name = "our-tool"
vcs = { type = "git", url = "https://git.example/our-tool" }
"""
POETRY = """
[[package]]
name = "numpy"
version = "2.4.6"
optional = false
groups = ["main"]

[package.dependencies]
h2 = {version = ">=3", optional = true, markers = "extra == \\"http2\\""}

[[package]]
name = "h2"
version = "4.4"
optional = false
groups = ["main"]

[[package]]
name = "click"
version = "8.1"
optional = false
groups = ["main", "dev"]
markers = {main = "sys_platform == 'nowhere'", dev = "python_version > '3'"}

[[package]]
name = "iniconfig"
version = "2.0"
optional = false
groups = ["dev"]

[[package]]
name = "gpu"
version = "1"
optional = true
groups = ["main"]

[[package]]
name = "our-tool"
version = "1"
optional = false
groups = ["main"]

[package.source]
type = "git"
url = "https://git.example/our-tool"

[metadata]
lock-version = "2.1"
"""
POETRY_1 = """
[[package]]
name = "click"
version = "8.1"
optional = false

[package.extras]
http2 = ["h2"]

[package.dependencies]
h2 = {version = ">=3", optional = true, markers = "extra == \\"http2\\""}
colorama = {version = "*", markers = "platform_system == \\"nowhere\\""}
importlib-metadata = [
    {version = ">=1", markers = "python_version < \\"3\\""},
    {version = ">=2", markers = "python_version >= \\"3\\""},
]

[[package]]
name = "colorama"
version = "0.4"
optional = false

[[package]]
name = "h2"
version = "4.4"
optional = false

[[package]]
name = "numpy"
version = "1.26.4"
optional = false
python-versions = ">=3.9,!=3.0.*"

[[package]]
name = "numpy"
version = "9.0"
optional = false
python-versions = ">=4"

[[package]]
name = "importlib-metadata"
version = "8"
optional = false
python-versions = "*"

[metadata]
lock-version = "2.0"
"""
PDM = """
[metadata]
groups = ["default", "dev"]
lock_version = "4.5.0"

[[package]]
name = "numpy"
version = "2.4.6"
groups = ["default"]

[[package]]
name = "colorama"
version = "0.4"
groups = ["default"]
marker = "sys_platform == \\"nowhere\\""

[[package]]
name = "iniconfig"
version = "2.0"
groups = ["dev"]
"""
PDM_4_4 = """
[metadata]
lock_version = "4.4"

[[package]]
name = "tqdm"
version = "4.67"
dependencies = ["colorama; platform_system == \\"nowhere\\"", "numpy"]

[[package]]
name = "numpy"
version = "2.4.6"

[[package]]
name = "colorama"
version = "0.4"
"""
PIPENV = """
{"_meta": {"hash": {"sha256": "0"}},
 "default": {"numpy": {"version": "==2.4.6", "hashes": [], "index": "pypi"},
             "colorama": {"version": "==0.4", "markers": "sys_platform == 'nowhere'"},
             "pywin32": {"version": "*"},
             "our-tool": {"git": "https://git.example/our-tool", "ref": "0"}},
 "develop": {"iniconfig": {"version": "==2.0"}}}
"""
FORMATS = {
    "uv": (UV, {"numpy": "2.4.6", "tqdm": "4.67", "ipywidgets": "8.1"}, ("our-tool",)),
    "uv script": (UV_SCRIPT, {"tqdm": "4.67"}, ()),
    "pylock": (PYLOCK, {"numpy": "2.4.6", "iniconfig": "2.0"}, ("our-tool",)),
    "poetry": (POETRY, {"numpy": "2.4.6", "h2": "4.4"}, ("our-tool",)),
    "poetry 1": (POETRY_1, {"click": "8.1", "h2": "4.4", "numpy": "1.26.4", "importlib-metadata": "8"}, ()),
    "pdm": (PDM, {"numpy": "2.4.6"}, ()),
    "pdm 4.4": (PDM_4_4, {"tqdm": "4.67", "numpy": "2.4.6"}, ()),
    "pipenv": (PIPENV, {"numpy": "2.4.6"}, ("our-tool", "pywin32")),
    "requirements": (
        "numpy==2.4.6 --hash=sha256:0\ncolorama==0.4 ; sys_platform == 'nowhere'\n",
        {"numpy": "2.4.6"},
        (),
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_only_what_is_needed_here_and_is_on_an_index_is_pinned(name: str) -> None:
    text, pins, left_out = FORMATS[name]
    lock = lock_of_text(text, "old.lock")
    assert (dict(lock.pins), lock.left_out) == (pins, left_out)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[tool.poetry]\nname = 'x'\n", "is no lock file of uv, Poetry, PDM, Pipenv or PEP 751"),
        ('{"lockfileVersion": 3}', "is no lock file of uv"),
        ("version = 1\npackage = [{ version = '1' }]\n", "is damaged, or of a version that is not known"),
        ('lock-version = "1.0"\npackages = []\n', "pins no package for this environment"),
        (
            'lock-version = "1.0"\n[[packages]]\nname = "a"\nversion = "1"\nmarker = "no such"\n',
            "is damaged, or of a version that is not known",
        ),
        (
            'lock-version = "1.0"\npackages = [{name = "a", version = "1"}, {name = "A", version = "2"}]\n',
            "pins a twice for this environment: 1 and 2",
        ),
    ],
)
def test_what_is_no_lock_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(Sst2Error, match=sentence):
        lock_of_text(text, "old.lock")
