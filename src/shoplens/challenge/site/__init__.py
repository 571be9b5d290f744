"""The challenge's website: a folder of plain files that any web server can show.

Read in this order: `tables` are the files for programs; `records`, `wording`, `markdown` and
`history` say what people see of a run, of numbers, of the organiser's texts and of the challenge's
course; `feed` tells news readers; `pages` puts it all into HTML; `folder` writes it so that the
site is whole at every moment; `build` calls them.
"""
