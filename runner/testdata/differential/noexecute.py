# Rows: tags of ours
# Differs: #NoExecute and the tag noexecute keep a cell from running
# %% tags=["noexecute"] execution_count=3 outputs=[{"output_type": "stream", "name": "stdout", "text": "kept\n"}]
1 / 0
# %%
# noexecute
1 / 0
# %%
#Environment
name = "$NAME"
name
