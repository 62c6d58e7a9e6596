"""The public names of the API are imported when they are used, from where the types say."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

from outbox import api

SOURCE = Path(str(api.__file__)).read_text()


def test_each_name_is_imported_from_the_module_that_type_checkers_read() -> None:
    declared = {
        alias.asname: node.module
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("outbox.")
        for alias in node.names
    }
    assert declared == api._HOMES


def test_each_name_exists_and_is_the_api_s_own() -> None:
    """A module of the package must not have the name of a function: it would replace it."""
    for name, module in api._HOMES.items():
        assert getattr(api, name) is getattr(importlib.import_module(module), name)
        assert f"outbox.api.{name}" not in sys.modules


def test_importing_the_package_imports_none_of_its_modules() -> None:
    program = "import sys, outbox.api; print([m for m in sys.modules if m.startswith('outbox.')])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['outbox.api']"
