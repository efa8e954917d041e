"""What a page of the docs shows, as a package that tests can import."""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest


@contextmanager
def package_of(
    sources: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], ModuleType]]:
    """The files of one package, written to the folder; gives its modules by their names in it."""
    [package] = {Path(name).parent.name for name in sources}
    (folder / package).mkdir()
    for name, source in sources.items():
        (folder / name).write_text(source)
    monkeypatch.syspath_prepend(folder)
    yield lambda module: importlib.import_module(f"{package}.{module}")
    for name in list(sys.modules):
        if name.partition(".")[0] == package:
            del sys.modules[name]
