# Rows: an output widget takes a cell's outputs
# %%
import ipywidgets as widgets
from IPython.display import clear_output, display
out = widgets.Output()
out
# %%
with out:
    print("inside", flush=True)
    display("shown inside")
print("outside")
# %%
out.clear_output()
with out:
    print("anew")
# %%
@out.capture(clear_output=True)
def captured():
    print("of a function")
captured()
# %% tags=["raises-exception"]
with out:
    1 / 0
# %%
out.append_stdout("appended")
out.append_display_data("display")
# %%
len(out.outputs)
