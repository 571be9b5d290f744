"""Running a challenge: from a participant's first submission to the final standings.

Read in this order: `kit`, `submission` and `ranker` are what a participant holds; `answers` checks
what a submission returns; `sandbox` and `running` run it within its budget; `registry` is the
organiser's book of teams and submissions; `leaderboard` and `site` show what came of it.
"""
