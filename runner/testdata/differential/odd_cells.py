# Rows: empty/whitespace source; raw, markdown
# %%
# %% source=" \n\t "
# %%
# only a comment
# %% [markdown]
# # A title
#
# Text with *emphasis* and ![a picture](attachment:dot.png)
# %% [markdown] attachments={"dot.png": {"image/png": "iVBORw0KGgo="}}
# ![dot](attachment:dot.png)
# %% [raw] format="text/restructuredtext"
# raw: print("never")
# %% [raw] source="print('never')"
# %%
"first that runs"
# %%


"blank lines around"


# %% custom={"nested": [1, 2.50, null]} collapsed=true slideshow={"slide_type": "slide"} source="1\n\n"
# %% source="print('crlf')\r\n1\r\n"
# %%
pass;
# %% [markdown]
