# Rows: replies with payloads
# %%
get_ipython().set_next_input("x = 1")
# %%
from IPython.core import page
page.page("paged text")
