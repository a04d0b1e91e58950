# Rows: data mime bundles kept whole
# %%
from IPython.display import HTML, JSON, SVG, GeoJSON, Latex, Markdown, Math, Pretty, ProgressBar, display
HTML("<b>bold</b>")
# %%
display(Latex("$x^2$"), Math(r"\frac{1}{2}"), Markdown("# Title\n\ntext"))
# %%
JSON({"a": [1, 2.5, None, True, {"b": "ü"}], "big": 2**60, "tiny": 1e-300, "whole": 1.0}, expanded=True)
# %%
SVG('<svg xmlns="http://www.w3.org/2000/svg"><rect width="1" height="1"/></svg>')
# %%
display({"text/plain": "plain", "application/vnd.custom+json": {"x": []}, "text/x": "a\nb\n"}, metadata={"m": 1}, raw=True)
# %%
display({"application/json": "a text", "application/geo+json": [1], "application/pdf": "JVBERi0="}, raw=True)
# %%
GeoJSON({"type": "Point", "coordinates": [1, 2]})
# %%
display(HTML("<i>1</i>", metadata={"isolated": True}), Pretty("as it is"), ProgressBar(10))
# %%
display()
display(1, 2, 3)
