# Rows: input(); the rest does not run
# %%
print("asking", flush=True)
name = input()
# %%
"never"
