"""Running a challenge: from a participant's first submission to the final standings.

Read in this order::

    kit           writes a submission to start from; `ranker` is what it builds on
    submission    a submission's folder: `contents` bounds it, `requirements`, `wheels` and `pins`
                  say what it asks for
    environment   the Python environment that it runs in, filled by `installer`
    sandbox       limits, and what enforces them; `inside` is the program that runs in it
    running       runs a submission and scores it; `verdict` says how it ended
    registry      the organiser's records of teams and submissions
    leaderboard   the standings, and `site`, which shows them

`shoplens.answers` checks what a submission returns.
"""
