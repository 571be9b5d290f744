"""The organiser's book of a challenge: one folder, with one SQLite file in it.

Read in this order::

    registry      the folder: where what lies, the terms, the boards
    schema        what the file holds
    migrations    bringing a file of an older version up to date
    database      opening it, and changing it in transactions that leave a trail
    terms         data, dates, rounds and limits
    ground_truth  the labelled set, and whether it is still what it was
    split         the queries' public and private side
    creation      all of this made, with the pages
    pages         rules, dates, prizes, questions and contact, in Markdown
    teams         teams, members, and who looks for team mates
    lookalikes    names that could be taken for each other
    declarations  the external data that teams use
    copies        submitted folders, kept by what is in them
    intake        a submission taken in
    queue         which worker runs which submission
    work          running them
    submissions   what is known of each
    annotations   notes, tags, and which submissions are final
    boards        the leaderboard's material, and the seal on what is private
    trail         who changed what, and when

`instants` are times, `names` are what people type, `stored` the pieces of a submission's row.
Functions that change something take the time as `now`, in any zone, and who does it as `who`.
"""
