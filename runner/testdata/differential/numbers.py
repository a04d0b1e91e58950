# Rows: data mime bundles kept whole
# %%
from IPython.display import JSON, display
JSON([0, -0.0, 1.0, 1e5, 1e16, 1e22, 1e-7, 1.5e300, 5e-324, 0.1 + 0.2, 10**30, -(2**63), 1e400, True])
# %%
display({"application/json": {"b": 1, "a": 2, "c": {"z": 1, "y": 2}}}, raw=True)
# %%
display({"application/vnd.vega.v5+json": {"data": [{"x": i, "y": i / 3} for i in range(50)]}, "text/plain": "<Vega>"}, raw=True)
# %%
display({"text/plain": "m"}, metadata={"text/plain": {"n": 1.0, "list": [1, 2.50, None]}, "needs_background": "light"}, raw=True)
# %%
display({"text/html": "a\r\nb\rc\u2028d\x0be\x0cf\x85g", "image/svg+xml": "<svg>\n</svg>\n", "text/latex": "\n\n"}, raw=True)
# %%
print("a\r\nb\rc\u2028d\x0be\x0cf\x85g\x1ch")
# %%
display({"application/json": "text\nof lines", "application/javascript": "1\n2", "image/png": "aGk=\n", "text/x-odd": ""}, raw=True)
# %%
display({"application/x+json": None, "text/plain": "null beside"}, raw=True)
