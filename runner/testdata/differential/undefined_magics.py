# Rows: UsageError, no error output
# Errors: allowed
# %%
%undefined
# %%
%%undefined
body
# %%
%time 1 +
# %%
%load_ext not_installed_anywhere
# %%
%cd /not/there
# %%
"on"
