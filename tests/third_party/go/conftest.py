"""Nothing is collected here where Go is not installed: ``make test-log`` sees to it."""

import pytest
from go_check import GoCheck, build, is_there

collect_ignore_glob = [] if is_there() else ["*"]


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> GoCheck:
    """The Go program, compiled."""
    return build(tmp_path_factory.mktemp("go"))
