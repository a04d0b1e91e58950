# Rows: child processes
# %%
import subprocess, sys, time
subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True, text=True).stdout
# %%
subprocess.run(["echo", "to our own output"])
time.sleep(1)
# %% tags=["raises-exception"]
subprocess.run(["false"], check=True)
# %%
subprocess.run(["cat"], capture_output=True)
# %%
import os
os.write(1, b"to the descriptor\n")
time.sleep(1)
# %%
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(abs, [-1, 2, -3]))
# %%
pid = os.fork()
if pid == 0:
    os._exit(7)
os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
