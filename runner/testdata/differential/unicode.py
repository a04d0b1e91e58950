# Rows: bad text; data of all sorts
# Errors: allowed
# %%
print("äöü ß € 漢字 🎉 👩‍👩‍👧 עברית \u2028\u2029\ufeff\u200b")
# %%
"".join(map(chr, range(32))) + "\x7f\x80\x9f\xa0"
# %%
print("".join(chr(c) for c in range(32) if c not in (10, 13)), "\x7f\x80\x9f")
# %%
print("\x1b[31mred\x1b[0m \x1b]0;title\x07")
# %%
"\ud800 alone"
# %%
print("\U0010ffff \uffff \ufffe")
# %%
from IPython.display import HTML, display
HTML("<p>&lt;ü\u2028\x00</p>")
# %%
display({"text/plain": "nan", "application/json": {"n": float("nan"), "i": float("inf"), "deep": [[[[]]]], "": "empty key"}}, raw=True)
# %%
ключ = "имя"
ключ
# %%
raise ValueError("имя\x00\x1b[1m")
# %%
b"\xff\xfe".decode("latin-1")
# %%
print("a\\nb", r"\u00e9", '"quoted"', "</script>", "{{ jinja }}", "\t")
