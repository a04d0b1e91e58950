# Rows: many displays
# %%
for i in range(20_000):
    print("line", i)
# %%
from IPython.display import display
for i in range(500):
    display(i)
# %%
for i in range(200):
    print(i, flush=True)
    display(i)
