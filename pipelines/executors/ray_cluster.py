"""The way to a Ray cluster: one that runs, or one that is started here and ends with the run."""

from __future__ import annotations

import logging
import os
import signal
import socket
from typing import Any

from eval.files import InputError
from pipelines.estimate import usable_cores
from pipelines.executors.ray_worker import one_line

STORE_BYTES = 100 * 2**20  # of a cluster that is started here: what goes through it is a few kilobytes
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
REACH_S = 10.0  # for a cluster's head to answer


def connect(address: str | None) -> Any:
    """Ray, connected to a cluster or to one that is started here. Raises InputError where that cannot be."""
    # without an address Ray would look for a cluster that may long be gone, and wait for it
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if (
        address == "local"
    ):  # read when Ray is loaded: its ports, which ask nobody who they are, stay on loopback
        os.environ.setdefault(LOOPBACK, "0")
    try:
        import ray
    except ImportError as error:
        raise InputError("--executor ray: needs Ray; pip install 'stepladder[ray]'") from error
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == "local":
        options |= {
            "num_cpus": usable_cores(),
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        }
    else:
        address = _reach(address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address=address, **options)
    except Exception as error:
        ray.shutdown()
        raise InputError(f"--executor ray: no cluster at {address} ({one_line(error)})") from error
    finally:
        for number, handler in handlers.items():  # Ray sets its own, which would end this process at once
            if handler is not None:
                signal.signal(number, handler)
    _quieten()
    return ray


def _reach(address: str) -> str:
    """The cluster's address as Ray will use it. Raises InputError where nothing answers there.

    Ray itself would wait for many minutes.
    """
    from ray._private.services import canonicalize_bootstrap_address

    if "://" in address:
        raise InputError(
            f"--address {address}: give the head's own address as host:port, mostly port 6379, and run this "
            "on a machine of the cluster"
        )
    try:
        found = canonicalize_bootstrap_address(address)
    except Exception as error:
        raise InputError(f"--address {address}: is no address; give host:port, or auto") from error
    if found is None:
        raise InputError(f"--address {address}: no cluster runs on this machine; start one: ray start --head")
    host, _, port = found.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except (OSError, ValueError) as error:
        raise InputError(
            f"--address {address}: nothing answers at {found} ({error}); is Ray running there?"
        ) from error
    return str(found)


def _quieten() -> None:
    """Ray prints a page about every process and node that dies; a line of ours says it."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *args, **kwargs: None
