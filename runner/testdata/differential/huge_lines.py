# Rows: 5 MB print
# %%
print("x" * 3_000_000)
# %%
print("é" * 1_000_000 + "\n" + "漢" * 500_000, end="")
# %%
"y" * 1_000_000
# %%
from IPython.display import HTML
HTML("<p>" + "z" * 2_000_000 + "</p>")
# %%
print(*range(100_000), sep="\n")
# %% tags=["raises-exception"]
raise ValueError("long " * 2_000)
