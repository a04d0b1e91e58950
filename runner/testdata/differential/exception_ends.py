# Rows: the reply says error; the rest does not run
# %%
print("a")
# %% tags=["raises-exception"]
1 / 0
# %%
x = {}
print("before", flush=True)
x["missing"]
# %%
print("never")
