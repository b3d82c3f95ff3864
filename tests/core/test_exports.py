import ast
import importlib
import inspect
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
