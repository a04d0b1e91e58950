# Rows: outputs in order
# %%
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.ast_node_interactivity = "all"
# %%
1
"two"
print("three", flush=True)
[4]
# %%
from IPython.display import display
display("a")
"b"
print("c", flush=True)
display("d")
"e";
# %%
get_ipython().events.register("post_run_cell", lambda result: print("hook", result.success))
# %%
"hooked"
# %% tags=["raises-exception"]
1 / 0
