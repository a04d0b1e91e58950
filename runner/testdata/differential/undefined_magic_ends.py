# Rows: UsageError, no error output; the rest does not run
# %%
%undefined
# %%
"never"
