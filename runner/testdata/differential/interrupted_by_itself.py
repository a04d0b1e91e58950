# Rows: cell eats KeyboardInterrupt
# %%
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("caught")
# %% tags=["raises-exception"]
os.kill(os.getpid(), signal.SIGINT)
time.sleep(5)
# %%
"on"
