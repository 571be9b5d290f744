"""Says which ranker runs: the class with the name My_Ranker in this file."""

from my_submission.shoplens_ranker import MyShoplensRanker

My_Ranker = MyShoplensRanker
