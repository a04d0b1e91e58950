# Rows: the rest does not run
# Differs: what an earlier run left in cells that were not reached is dropped, as papermill does
# %%
1 / 0
# %% execution_count=4 outputs=[{"output_type": "stream", "name": "stdout", "text": "of yesterday\n"}]
print("never")
