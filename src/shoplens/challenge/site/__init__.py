"""The challenge's website: a folder of plain files that any web server can show.

Read in this order: `board_files` are the files for programs. `published_run`, `wording`, `markdown`
and `history` say what people see of a run, of numbers, of the organiser's pages and of the scores
over time. `feed` is for news readers. `pages` renders the HTML. `site_folder` writes the files so
that the site is whole at every moment. `build` calls them all.
"""
