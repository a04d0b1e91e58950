# Rows: same display_id in three cells
# %%
from IPython.display import display, update_display
display("one", display_id="a")
display("other");
# %%
handle = display("two", display_id="a")
own = display("mine", display_id=True)
# %%
display("three", display_id="a", metadata={"m": 1})
display("four", display_id="a");
# %%
update_display("updated", display_id="a")
update_display("nobody", display_id="unknown")
own.update("changed")
# %%
from IPython.display import HTML
handle.update(HTML("<b>rich</b>"), metadata={"text/html": {"isolated": True}})
