# Rows: tag skip-execution leaves outputs as they were
# %% tags=["skip-execution"] execution_count=7 outputs=[{"output_type": "stream", "name": "stdout", "text": ["kept\n", "too"]}, {"output_type": "execute_result", "execution_count": 7, "data": {"text/plain": "1"}, "metadata": {}}]
print("never")
# %% execution_count=8 outputs=[{"output_type": "stream", "name": "stdout", "text": "replaced\n"}]
print("ran")
# %% tags=["skip-execution", "raises-exception"]
1 / 0
# %% tags=["other", "remove_cell"]
"ran"
# %% execution_count=9 outputs=[{"output_type": "display_data", "data": {"text/plain": "old"}, "metadata": {}}]
x = 1
# %% [markdown] tags=["skip-execution"]
# text
