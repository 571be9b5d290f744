"""Models of other libraries, turned into model folders that run without them.

Read in this order: `repository` finds the files, `preparation` says how photos are prepared,
`from_timm`, `from_open_clip` and `from_hf` load a `tower` of their library, `loading` chooses among
them by name, `congruence` holds our pixels against the library's own, `precision` halves weights,
`padding` makes padding a part of convolutions, `convert` makes the model folder, `clip_token`
makes our model of CLIP of open_clip's, `text_towers` loads the towers for texts.

Everything here needs torch, and is imported only when a model has to be converted or texts are to
be embedded.
"""
