# Rows: buffers with comm_msg; widget state
# %%
import ipywidgets as widgets
slider = widgets.IntSlider(value=3, max=10, description="size")
slider
# %%
slider.value = 7
label = widgets.Label("text")
widgets.jslink((slider, "value"), (label, "value"))
widgets.HBox([slider, label])
# %%
button = widgets.Button(description="press")
button.on_click(lambda b: print("pressed"))
button.click()
button
# %%
import numpy as np
image = widgets.Image(value=bytes(range(64)), format="png")
image
# %%
progress = widgets.IntProgress(max=3)
from IPython.display import display
display(progress)
for i in range(3):
    progress.value += 1
# %%
progress.close()
