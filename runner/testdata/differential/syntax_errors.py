# Rows: the reply says error
# Errors: allowed
# %%
x = = 2
# %%
def f():
return 1
# %%
print("unclosed"
# %%
"never
# %%
return 5
# %%
yield
# %%
if True:
    await_ = 1
	tab = 2
# %%
"fine"
