# Rows: execution counts after errors
# Errors: allowed
# %%
1
# %%
1 / 0
# %%
"third"
# %% source=""
# %%
_, __, _1, Out
# %%
In[2]
# %%
%undefined
# %%
"after"
# %%
get_ipython().execution_count
# %%
get_ipython().run_cell("print('nested'); 7");
# %%
get_ipython().execution_count
