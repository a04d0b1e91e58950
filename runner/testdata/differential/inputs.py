# Rows: input()
# Errors: allowed
# %%
input("name? ")
# %%
import getpass
getpass.getpass("secret? ")
# %%
import sys
sys.stdin.read()
# %%
import pdb
pdb.set_trace()
# %%
"on"
