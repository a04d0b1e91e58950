# Rows: transient null, metadata missing, data {}
# Differs: nbclient breaks off at what is missing
# %%
kernel = get_ipython().kernel
def send(kind, **content):
    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent("shell"))
send("display_data", data={"text/plain": "no metadata"})
send("display_data")
send("error", ename="E", evalue="v")
# %%
send("stream", name="other", text="of no known stream")
# %%
send("stream", text="of none")
