# Rows: clear_output wait at end; update of cleared id
# %%
from IPython.display import clear_output, display, update_display
print("old", flush=True)
clear_output()
print("new")
# %%
print("old", flush=True)
clear_output(wait=True)
print("new")
# %%
print("stays", flush=True)
clear_output(wait=True)
# %%
display("shown", display_id="b")
clear_output()
update_display("nothing", display_id="b")
# %%
display("shown", display_id="c")
clear_output(wait=True)
update_display("updated", display_id="c")
# %%
for i in range(5):
    clear_output(wait=True)
    print("round", i, flush=True)
    display(i)
# %% tags=["raises-exception"]
print("gone", flush=True)
clear_output(wait=True)
1 / 0
# %%
display("first", display_id="d")
clear_output()
display("second", display_id="d");
# %%
update_display("third", display_id="d")
