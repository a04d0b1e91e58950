# Rows: timeout; the rest does not run
# Timeout: 2s
# Differs: the cell's traceback tells where it was; nbclient keeps none
# %%
print("quick")
# %%
print("slow", flush=True)
while True: pass
# %%
print("never")
