# Rows: segfault
# %%
from IPython.display import display
display("kept")
# %%
import ctypes, time
print("last words", flush=True)
time.sleep(0.5)
ctypes.string_at(0)
# %%
print("never")
