# Rows: data mime bundles kept whole
# %%
None
# %%
5;
# %%
from IPython.display import display
display(None)
# %%
class BrokenHTML:
    def _repr_html_(self):
        raise ValueError("no html")
BrokenHTML()
# %%
class NoRepr:
    def __repr__(self):
        raise ValueError("no repr")
try:
    NoRepr()
finally:
    print("finally")
# %% tags=["raises-exception"]
NoRepr()
# %%
class Bundle:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": "<b>b</b>", "text/plain": "b"}, {"text/html": {"m": 1}}
Bundle()
# %%
class Own:
    def _ipython_display_(self):
        print("displays itself")
Own()
# %%
class Png:
    def _repr_png_(self):
        return b"\x89PNG\r\n\x1a\n\x00"
Png()
# %%
class Wrong:
    def _repr_html_(self):
        return 5
Wrong()
# %%
{"a": [1] * 100, "b": (1,)}
# %%
...
# %%
lambda: 0
