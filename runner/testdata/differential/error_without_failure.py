# Rows: error output, but the reply is ok
# %%
get_ipython().showtraceback((ValueError, ValueError("shown"), None))
# %%
"on"
