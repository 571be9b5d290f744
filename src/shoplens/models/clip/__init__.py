"""CLIP ViT-B/16 (OpenAI) as a model of ours: made on the user's machine of a file that PyPI has.

`source` brings the file, `graph` makes our graph of it, `head` holds what was fitted here, and
`build` puts them together. Only `graph` needs the extra `[clip]`.
"""
