"""The submission: `user_config` says which ranker runs, `aicrowd_wrapper` runs it."""
