# Rows: messages of another parent (route late ones by id)
# Differs: nbclient drops what a thread prints after its cell; it belongs to that cell
# %%
import threading
from IPython.display import display
go = threading.Event()
def late():
    go.wait()
    print("late")
thread = threading.Thread(target=late)
thread.start()
# %%
go.set()
thread.join()
import time
time.sleep(0.5)
print("mine")
