# Rows: binary data stays base64
# %%
import matplotlib.pyplot as plt
plt.plot([1, 3, 2])
# %%
plt.figure(figsize=(2, 2)); plt.plot([1, 2])
plt.figure(figsize=(1, 1)); plt.plot([2, 1]);
# %%
for n in range(2):
    plt.figure(figsize=(1, 1))
    plt.plot([n])
    print("figure", n, flush=True)
    plt.show()
# %%
%config InlineBackend.figure_formats = ['svg', 'retina']
import matplotlib
matplotlib.rcParams["svg.hashsalt"] = "same"
fig, ax = plt.subplots(figsize=(1, 1))
plt.close(fig)
from IPython.display import display
display(fig)
# %%
fig
