"""Executes notebooks with nbclient, two at a time: differential.py FOLDER

Reads a JSON list of {"name", "allow_errors", "timeout"} from standard input, executes
each FOLDER/name.ipynb in a folder of its own into FOLDER/name.executed.ipynb, and writes
FOLDER/outcomes.json of how each ended.
"""

import asyncio
import json
import pathlib
import sys
import tempfile
import time

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError


GIVE_UP = 60  # seconds


async def shake(client):
    """Has nbclient look for replies that it missed.

    ZeroMQ tells once that something came; where nbclient sends for an output widget at
    that moment it does not notice, and waits for ever.
    """
    while True:
        await asyncio.sleep(0.5)
        if client.kc is not None and client.kc.channels_running:
            await client.kc.shell_channel.socket.poll(1)


async def execute(folder, job, turn):
    async with turn:
        started = time.monotonic()
        notebook = nbformat.read(folder / f"{job['name']}.ipynb", as_version=4)
        with tempfile.TemporaryDirectory() as work:
            client = NotebookClient(
                notebook,
                allow_errors=job["allow_errors"],
                timeout=job["timeout"] or None,
                iopub_timeout=15,  # 4 are too few for a busy machine: it would go on without the output
                record_timing=True,
                resources={"metadata": {"path": work}},
            )
            shaking = asyncio.create_task(shake(client))
            try:
                await asyncio.wait_for(client.async_execute(), GIVE_UP)
                outcome = "completed"
            except CellTimeoutError:
                outcome = "cell_timeout"
            except DeadKernelError:
                outcome = "kernel_died"
            except CellExecutionError:
                outcome = "cell_error"
            except Exception as e:  # what nbclient did not think of
                outcome = f"broke: {type(e).__name__}: {e}"
            finally:
                shaking.cancel()
        nbformat.write(notebook, folder / f"{job['name']}.executed.ipynb")
        print(job["name"], outcome, f"{time.monotonic() - started:.1f} s", file=sys.stderr)
        return job["name"], outcome


async def main(folder):
    turn = asyncio.Semaphore(2)
    jobs = [execute(folder, job, turn) for job in json.load(sys.stdin)]
    return dict(await asyncio.gather(*jobs))


folder = pathlib.Path(sys.argv[1])
outcomes = asyncio.run(main(folder))
(folder / "outcomes.json").write_text(json.dumps(outcomes))  # kernels write to our standard output
