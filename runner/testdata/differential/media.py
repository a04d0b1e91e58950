# Rows: binary data stays base64
# %%
import base64
from IPython.display import Audio, FileLink, IFrame, Image, Javascript, Video, YouTubeVideo, display
dot = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
Image(dot)
# %%
Image(dot, width=10, height=20, alt="a dot")
# %%
import numpy as np
Audio(np.sin(np.arange(800)), rate=8000)
# %%
display(Javascript("1"), IFrame("https://example.org", 10, 10))
# %%
open("file.txt", "w").write("text")
FileLink("file.txt")
# %%
YouTubeVideo("abc")
# %%
Video(b"mp4", embed=True, mimetype="video/mp4")
