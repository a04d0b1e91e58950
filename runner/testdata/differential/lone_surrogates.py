# Rows: text that cannot be sent
# %%
import sys
print("before", flush=True)
# %%
import os
os.fsdecode(b"\xff")
# %%
sys.stdout.write("ok\n")
"after"
