# Rows: widget state
# Errors: allowed
# %%
import ipywidgets as w
from IPython.display import display
s = w.IntSlider(3, max=7)
box = w.HBox([s, w.Label("x < y & é")])
box
# %%
bar = w.FloatProgress(max=100)
display(bar)
for i in range(101):
    bar.value = i
# %%
image = w.Image(value=bytes(range(256)), format="png")
image.value = b"\x00\xff" * 9
empty = w.Image()
display(image)
# %%
gone = w.Text("gone")
display(gone)
gone.close()
# %%
s.value = 5
box.children = [s]
s.layout.width = "50%"
# %%
from comm import create_comm
c = create_comm(target_name="elsewhere", data={"state": {"a": 1}})
# %%
1 / 0
