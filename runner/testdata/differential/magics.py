# Rows: replies with payloads
# %%
%precision 3
3.14159265
# %%
%%capture captured
print("captured")
"lost"
# %%
captured.stdout
# %%
captured.show()
# %%
%%writefile module_of_ours.py
def answer():
    return 42
# %%
import module_of_ours
module_of_ours.answer()
# %%
%run module_of_ours.py
answer()
# %%
%%capture --no-stderr
import sys
print("hidden"); print("seen", file=sys.stderr)
# %%
%env NBPRESS_SEEN=1
# %%
%who_ls str
# %%
len?
# %%
%pinfo len
# %%
%psearch str.is*
# %%
%lsmagic
