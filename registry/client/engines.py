"""Where shards are filtered: in this process, in several on this machine, or by Ray.

An engine takes shards and yields their reports as they come. It is used, none is written: processes are those
of :mod:`concurrent.futures`, tasks over machines are Ray's. The first shard that fails ends the run; those
that were ended before stay, and the next run goes on from them.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from registry.client.pictures import Hashers
from registry.client.sharding import Progress, ShardReport, ShardSpec
from registry.client.staging import process
from registry.client.verdicts import Judges
from registry.errors import DatasetError, InputError

__all__ = ["ENGINES", "Engine", "local", "ray"]


class Engine(Protocol):
    """What filters shards; ``workers`` are processes, or tasks at a time."""

    def __call__(
        self, specs: Sequence[ShardSpec], judges: Judges, workers: int, progress: Progress
    ) -> Iterator[ShardReport]:
        """Yield a report a shard, in any order. Raises what :func:`process` does."""


def local(
    specs: Sequence[ShardSpec], judges: Judges, workers: int, progress: Progress
) -> Iterator[ShardReport]:
    """Filter shards on this machine, one a process where there are several.

    Sites are asked from one process, which asks a host one thing at a time.
    """
    if workers == 1 or len(specs) == 1 or judges.sites is not None:
        with Hashers(workers) as hashers:
            for spec in specs:
                yield process(spec, judges, hashers, progress)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(specs)), mp_context=spawn, initializer=_end_at_once) as pool:
        try:
            futures = [pool.submit(process, spec, judges) for spec in specs]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise DatasetError(
                "a process that filtered a shard fell; the shards that were done before stay",
                hint="It may have run out of memory: give fewer --workers, and run the same command again. "
                'A script of your own needs if __name__ == "__main__":.',
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_at_once() -> None:
    """Let Ctrl-C end a worker without a word; whoever started it tells."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ray(
    specs: Sequence[ShardSpec], judges: Judges, workers: int, progress: Progress
) -> Iterator[ShardReport]:
    """Filter shards as tasks of Ray, on the cluster that ``RAY_ADDRESS`` names or on this machine.

    Source and output must be where every machine of the cluster sees them under the same path.
    """
    try:
        import ray as cluster  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise InputError(
            "Ray is not installed", hint="pip install 'caveat-registry[ray]', or use --engine local."
        ) from error
    if judges.sites is not None:
        raise InputError(
            "sites are asked from one process, and Ray has many",
            hint="Use --engine local with --site-signals.",
        )
    ours = not cluster.is_initialized()
    if ours:
        # A cluster that is there already has its processors; one on this machine is given some.
        here = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers}
        cluster.init(**here, log_to_driver=False, logging_level="error", include_dashboard=False)
    try:
        yield from _tasks(cluster, specs, judges, workers)
    finally:
        if ours:
            cluster.shutdown()


def _tasks(cluster: Any, specs: Sequence[ShardSpec], judges: Judges, workers: int) -> Iterator[ShardReport]:
    # No retries by Ray: an error of ours is one by name, and a worker that fell is told of.
    task = cluster.remote(process).options(num_cpus=1, max_retries=0)
    shared = cluster.put(judges)
    waiting = map(_in_full, specs)
    running = [task.remote(spec, shared) for spec in islice(waiting, workers)]
    try:
        while running:
            [ended], running = cluster.wait(running, num_returns=1)
            yield _result(cluster, ended)
            running += [task.remote(spec, shared) for spec in islice(waiting, 1)]
    finally:
        # On a cluster of others they would go on; what they have not ended counts for nothing.
        for one in running:
            cluster.cancel(one, force=True)


def _in_full(spec: ShardSpec) -> ShardSpec:
    """Return ``spec`` with full paths: a worker may stand in another folder."""
    places = {name: getattr(spec, name) for name in ("source", "output", "account")}
    here: dict[str, Any] = {
        name: place.absolute() for name, place in places.items() if isinstance(place, Path)
    }
    return replace(spec, **here)


def _result(cluster: Any, ended: Any) -> ShardReport:
    try:
        report: ShardReport = cluster.get(ended)
    except cluster.exceptions.RayTaskError as error:
        raise error.cause from error
    except cluster.exceptions.RayError as error:
        raise DatasetError(
            f"a task of Ray that filtered a shard fell ({type(error).__name__}); the shards that were done "
            "before stay",
            hint="It may have run out of memory: give fewer --workers, and run the same command again.",
        ) from error
    return report


ENGINES: dict[str, Engine] = {"local": local, "ray": ray}
"""By the name that ``--engine`` takes."""
