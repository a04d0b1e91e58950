# Rows: an output widget takes a cell's outputs
# Errors: allowed
# %%
import ipywidgets as w
from IPython.display import clear_output, display
out, other = w.Output(), w.Output()
display(out)
with out:
    print("in")
    print("side", flush=True)
    display("shown", {"a": [1.0, None]}, metadata={"m": 1})
    with other:
        print("nested")
    print("on")
print("after")
# %%
print(out.outputs, other.outputs)
# %%
@out.capture()
def f():
    print("captured")
    display(w.Label("in"))
f()
# %%
with out:
    1 / 0
"reached"
# %%
with other:
    print("old")
    clear_output()
    print("new")
    clear_output(wait=True)
other
# %%
with other:
    print("newest")
out.clear_output(wait=True)
out.clear_output()
# %%
a = w.Output()
a.append_stdout("x")
a.append_stderr("y")
a.append_display_data("z")
a
# %%
import sys
with other:
    sys.stderr.write("e")
    %undefined
    get_ipython().run_cell("1 + 1")
# %%
with out:
    display("kept", display_id="d")
display("in cell", display_id="e")
with out:
    display("updated", display_id="e")
# %%
print([o["output_type"] for o in out.outputs], len(a.outputs))
# %%
w.interact(lambda x: print(x), x=(0, 1.5))
# %%
import threading
def late():
    with other:
        print("from a thread")
t = threading.Thread(target=late)
t.start()
t.join()
