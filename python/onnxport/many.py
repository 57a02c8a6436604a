"""`python -m onnxport.many LIST OUT --ray`: the command `export-many` on the machines of a Ray cluster.

Lists, flags, results and exit statuses are those of `onnxport export-many`; without `--ray` it is that command. With
it, each export is a task of Ray (the package `ray`, `pip install onnxport[ray]`). Every machine needs this package, and
sees OUT and local models under the same paths.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from .errors import ExportError

__all__ = ["RayEngine", "main"]


def run_task(task: str) -> tuple[str, str]:
    """Runs one export on the machine of a worker. Returns its result, and an error that concerns all exports."""
    from .cli import own_command
    from .native import native

    try:
        return native.run_many_task(task, own_command()), ""
    except ExportError as error:
        return "", str(error)


class RayEngine:
    """Runs the exports of a list as tasks of Ray.

    A worker that is killed takes its export with it. The command starts that export again, so Ray must not.
    """

    def __init__(self, address: str | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise ExportError(
                "--ray needs the package ray: pip install onnxport[ray]", "invalid_argument"
            ) from error
        self._ray = ray
        if not ray.is_initialized():
            local = {} if address or os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
            ray.init(address=address, log_to_driver=False, logging_level="warning", **local)
        self._run = ray.remote(run_task)
        self._running: dict[Any, int] = {}
        self.jobs = max(1, sum(node["Alive"] for node in ray.nodes()))

    def start(self, number: int, task: str) -> None:
        """Starts a task. It reserves as much memory as the export may use, if there is a limit."""
        options: dict[str, Any] = {"num_cpus": 1, "max_retries": 0, "scheduling_strategy": "SPREAD"}
        if limit := json.loads(task)["max_memory"]:
            options["memory"] = limit
        self._running[self._run.options(**options).remote(task)] = number

    def poll(self) -> list[tuple[int, str, str]]:
        """The tasks that have ended: number, result, and the reason if there is none."""
        ready, _ = self._ray.wait(list(self._running), timeout=0.2)
        ends = []
        for reference in ready:
            number = self._running.pop(reference)
            try:
                result, failure = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                ends.append((number, "", str(error).strip().partition("\n")[0]))
                continue
            if failure:
                self.stop()
                raise ExportError(failure, "io")
            ends.append((number, result, ""))
        return ends

    def stop(self) -> None:
        """Ends all tasks, and waits until they have ended."""
        running = list(self._running)
        self._running.clear()
        for reference in running:
            self._ray.cancel(reference, force=True)
        if running:
            self._ray.wait(running, num_returns=len(running), timeout=10)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    Args:
        arguments: Those of `onnxport export-many`, with `--ray` and `--ray-address`; by default those of the process.
    """
    from .cli import main as run

    parser = argparse.ArgumentParser("python -m onnxport.many", add_help=False, allow_abbrev=False)
    parser.add_argument("--ray", action="store_true", help="Run the exports as tasks of Ray")
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="Cluster to use, as for ray.init; default: $RAY_ADDRESS, or else workers on this machine",
    )
    own, others = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    command = ["export-many", *others]
    if "--help" in others or "-h" in others:
        print(parser.format_help())
        return run(command)
    if not own.ray:
        if own.ray_address:
            print("onnxport: error: --ray-address has no meaning without --ray", file=sys.stderr)
            return 2
        return run(command)
    try:
        engine = RayEngine(own.ray_address)
    except (ExportError, ConnectionError) as error:
        print(f"onnxport: error: {error}", file=sys.stderr)
        return 2
    return run(command, engine)


if __name__ == "__main__":
    # Workers import the functions under the name of the module, which is not that of the program.
    from onnxport.many import main as imported_main

    sys.exit(imported_main())
