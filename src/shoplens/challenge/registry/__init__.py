"""The organiser's book of a challenge: one folder, with one SQLite file in it.

Read in this order::

    registry         the folder: where what lies, the terms, the boards
    schema           the tables of the file
    migrations       bringing the file of an older version up to date
    database         opening the file, and changing it in transactions that leave a trail
    terms            data, dates, rounds and limits
    ground_truth     the labelled set, and whether it is unchanged
    split            the public and the private side of the queries
    creation         making all of this, with the pages
    organiser_pages  rules, dates, prizes, questions and contact, in Markdown
    names            what people type: names, texts, tags and links
    lookalikes       names that could be taken for each other
    teams            teams, members, and people who look for team mates
    tokens           by which teams submit over a network
    declarations     the external data that teams use
    copies           submitted folders, each named by its contents
    archives         submissions that come as a zip archive
    intake           accepting a submission
    queue            which worker runs which submission
    work             running the submissions that wait
    submissions      what is known of each submission
    annotations      notes, tags, and which submissions are final
    boards           what the leaderboard shows, without what is sealed
    trail            who changed what, and when

`instants` are times, `submission_rows` the parts of a submission's row. Functions that change
something take the time as `now`, in any zone, and who does it as `who`.
"""
