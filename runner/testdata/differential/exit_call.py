# Rows: exit() payload ask_exit
# Differs: exit() ends the notebook well; for nbclient the next cell races with the end of the kernel
# %%
print("before")
exit()
# %%
import time
time.sleep(1)
print("never")
