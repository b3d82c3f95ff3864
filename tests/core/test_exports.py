import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ("errors", "urls", "preference", "picture", "pdq", "fingerprint", "hamming", "keys")


def with_all():
    for path in sorted((ROOT / "registry").rglob("*.py")):
        tree = ast.parse(path.read_bytes())
        targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = list(with_all())


def test_the_core_is_among_the_modules_that_say_what_they_export():
    assert {f"registry.{name}" for name in CORE} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_exports_what_it_lists_once_each(name):
    module = importlib.import_module(name)
    assert [one for one in module.__all__ if not hasattr(module, one)] == []
    assert len(module.__all__) == len(set(module.__all__))


@pytest.mark.parametrize("name", CORE)
def test_what_a_core_module_defines_in_public_is_listed_and_described(name):
    module = importlib.import_module(f"registry.{name}")
    public = {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value) or hasattr(value, "__wrapped__"))
        and getattr(value, "__module__", None) == module.__name__
    }
    assert public
    assert sorted(set(public) - set(module.__all__)) == []
    assert [key for key, value in public.items() if not (value.__doc__ or "").strip()] == []
    assert (module.__doc__ or "").strip()


@pytest.mark.parametrize("name", CORE)
def test_a_core_module_lists_nothing_that_is_defined_elsewhere(name):
    module = importlib.import_module(f"registry.{name}")
    for key in module.__all__:
        assert getattr(getattr(module, key), "__module__", module.__name__) in (module.__name__, "builtins")


def test_what_the_client_is_asked_for_is_loaded_and_nothing_else():
    code = """
import sys
import registry.client.pictures
assert not {"requests", "pyarrow", "registry.client.filtering"} & set(sys.modules)
from registry.client import RegistryClient, filter_dataset
assert sys.modules["registry.client.filtering"].filter_dataset is filter_dataset
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_the_client_does_not_have_is_an_attribute_error():
    client = importlib.import_module("registry.client")
    assert set(client.__all__) <= set(dir(client))
    with pytest.raises(AttributeError, match="no attribute 'filter_everything'"):
        client.filter_everything  # noqa: B018 - asked for to be refused
