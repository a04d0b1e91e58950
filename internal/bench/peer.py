"""Measures jupyter_client on a stock kernel, as the Go benchmarks of the same names measure ours.

Prints lines as `go test -bench` does. The time of an operation is the median.
"""

import statistics
import sys
import time

from jupyter_client.manager import start_new_kernel

CODE = {"pass": "pass", "print_5MB": "print('" + "x" * 100 + "' * 50_000)"}


def round_trip(client, code):
    """Returns the seconds from sending code to having both its reply and its idle."""
    started = time.perf_counter()
    request = client.execute(code, allow_stdin=False)
    while True:
        message = client.get_iopub_msg(timeout=30)
        if message["parent_header"].get("msg_id") != request or message["msg_type"] != "status":
            continue
        if message["content"]["execution_state"] == "idle":
            break
    while client.get_shell_msg(timeout=30)["parent_header"].get("msg_id") != request:
        pass
    return time.perf_counter() - started


def main():
    print("pkg: jupyter_client")
    manager, client = start_new_kernel()
    try:
        for name, rounds in ("pass", 200), ("print_5MB", 10):
            times = [round_trip(client, CODE[name]) for _ in range(rounds)]
            print(f"BenchmarkPeer/{name} {rounds} {statistics.median(times) * 1e9:.0f} ns/op")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    sys.exit(main())
