"""The built-in world: a small almanac whose truth is known, so that every answer can be checked.

It stands in for what a laptop cannot have: the web, the users and the labelers. `facts` says what is
true, `corpus` writes a web about it, `prompts` asks about it, `rubric` judges exactly, and
`raters` are people who judge and write less well than the rubric does.
"""
