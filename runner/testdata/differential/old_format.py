# Rows: a notebook of nbformat 4.4
# Format: 4.4
# Differs: nbpress gives the cells ids and lifts the notebook to 4.5
# %%
print("old")
# %% [markdown]
# text
# %%
1 + 1
