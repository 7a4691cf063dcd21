"""Every token that is minted or accepted, one file a kind. PyJWT is imported only here and in `client_auth.py`.

`issue.py` is the only mint; `signing.py` keeps the keys. Whether somebody may have a token is decided elsewhere.
"""
