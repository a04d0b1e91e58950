# Rows: status aborted
# Differs: nbclient takes a cell that the kernel refused for a success
# %%
get_ipython().kernel._aborting = True
# %%
"never"
