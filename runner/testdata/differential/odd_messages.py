# Rows: transient null, metadata missing, data {}
# %%
kernel = get_ipython().kernel
def send(kind, **content):
    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent("shell"))
send("display_data", data={}, metadata={}, transient=None)
# %%
send("display_data", data={"text/plain": "empty transient"}, metadata={}, transient={})
# %%
send("unheard_of", data={})
send("stream", name="stdout", text="after\n")
# %%
send("error", ename="E", evalue="v", traceback=[])
# %%
send("execute_result", data={"text/plain": "x"}, metadata={}, execution_count=77)
