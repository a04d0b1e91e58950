# Rows: output of threads that end with their cell
# %%
import threading
def work(n):
    print("thread", n, flush=True)
for n in range(5):
    t = threading.Thread(target=work, args=(n,))
    t.start()
    t.join()
# %%
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool:
    results = list(pool.map(lambda n: n * n, range(10)))
results
# %%
import time
def fails():
    raise ValueError("in a thread")
t = threading.Thread(target=fails, name="worker")
t.start()
t.join()
time.sleep(0.5)
# %%
"on"
