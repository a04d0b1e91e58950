# Rows: os._exit
# %%
print("kept")
# %%
import os, time
print("last words", flush=True)
time.sleep(0.5)
os._exit(3)
# %%
print("never")
