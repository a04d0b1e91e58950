# Rows: clear_output wait at end; update of cleared id
# %%
from IPython.display import clear_output, display, update_display
import threading
shown = display("one", display_id="a")
display("kept")
# %%
display("two", display_id="a")
clear_output()
# %%
update_display("three", display_id="a")
# %%
display("four", display_id="a")
clear_output(wait=True)
display("five", display_id="a")
# %%
update_display("six", display_id="a")
display("seven", display_id="b")
update_display({"text/plain": "eight"}, display_id="b", raw=True)
# %%
display({"text/plain": "first"}, raw=True, display_id="c")
display({"text/html": "second"}, raw=True, display_id="c", metadata={"x": 1});
# %%
clear_output()
clear_output(wait=True)
clear_output()
print("end")
# %%
print("a", flush=True)
clear_output(wait=True)
clear_output()
# %%
import sys
print("out", flush=True)
print("err", file=sys.stderr, flush=True)
clear_output(wait=True)
print("err", file=sys.stderr, flush=True)
print("out", flush=True)
# %%
def outer():
    display("result", display_id="d")
    return 1
outer()
# %%
1
