# Rows: text that differs in times alone
# %%
%time sum(range(10))
# %%
%%time
print("inside")
"result"
# %%
%timeit -n1 -r1 pass
# %%
%%timeit -n1 -r1
pass
# %%
%prun -q sum([1, 2])
# %%
%history -n 1-2
# %%
In[1], Out[1], _i1
