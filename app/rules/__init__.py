"""The rules that an administrator writes for logins; the rules themselves are rows.

`rule` says as plain values what a rule sees and what it may answer, `runtime` runs rules in worker processes apart
from the server. What a login makes of the answer is the business of `app.ruling`.
"""
