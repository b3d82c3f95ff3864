"""Nothing is collected here where the engines are not installed: ``make test-recipes`` sees to it."""

from importlib.util import find_spec

ENGINES = ("daft", "datasets", "duckdb", "pyspark", "ray")

collect_ignore_glob = [] if all(map(find_spec, ENGINES)) else ["*"]
