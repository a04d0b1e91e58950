# Rows: data mime bundles kept whole
# %%
import pandas as pd
frame = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=3), "kWh": [1.5, None, 3], "site": ["a", "b", "ü"]})
frame
# %%
frame.describe()
# %%
frame["kWh"]
# %%
frame.info()
# %%
from IPython.display import display
display(frame.head(1), frame.set_index("day").T)
# %%
print(frame.to_string())
# %%
pd.DataFrame({"n": range(1000), "square": [n * n for n in range(1000)]})
# %%
frame.groupby("site")["kWh"].sum().to_frame()
# %% tags=["raises-exception"]
frame["missing"]
