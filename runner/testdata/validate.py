"""Reads every notebook of a folder as Jupyter does: validate.py FOLDER

Each must be valid, and hold of every cell that was executed when that was, in order.
The last cell of unfinished-*.ipynb may lack its end.
"""

import pathlib
import sys
import warnings

import nbformat

TIMES = ["iopub.status.busy", "iopub.execute_input", "shell.execute_reply", "iopub.status.idle"]
SKIPPED = {"skip-execution", "noexecute"}


def check(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count is not None]
    cells = [cell for cell in cells if not SKIPPED.intersection(cell.metadata.get("tags", ()))]
    for number, cell in enumerate(cells, 1):
        times = cell.metadata.execution
        present = [times[name] for name in TIMES if name in times]
        assert present == sorted(present), (path, cell.source, times)
        whole = set(times) == set(TIMES)
        assert whole or path.name.startswith("unfinished") and number == len(cells), (path, cell.source, times)
    return len(cells)


def main(folder):
    warnings.simplefilter("error")  # nbformat only warns of what it had to mend
    files = sorted(pathlib.Path(folder).glob("*.ipynb"))
    cells = sum(map(check, files))
    print(f"{len(files)} notebooks with {cells} executed cells")


main(sys.argv[1])
