member() { .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
otp() { .venv/bin/python -c 'import pyotp, sys; print(pyotp.TOTP(sys.argv[1]).now())' "$1"; }

# 1. In the realm "employees" the right password is not enough: 403 mfa_required, and an mfa_token.
answer=$(curl -s $BELAY/oauth/token -d grant_type=http://auth0.com/oauth/grant-type/password-realm \
  -d realm=employees -d username=alice@example.com -d password=$EMPLOYEE_PASSWORD -d client_id=$PUBLIC_CLIENT \
  -d audience=$API -d "scope=openid profile offline_access read:orders"); echo "$answer"
mfa_token=$(echo "$answer" | member mfa_token)

# 2. Alice enrols an authenticator app: a secret, a QR code's content, and her recovery code.
answer=$(curl -s $BELAY/mfa/associate -H "Authorization: Bearer $mfa_token" \
  -H "Content-Type: application/json" -d '{"authenticator_types": ["otp"]}'); echo "$answer"
secret=$(echo "$answer" | member secret)

# 3. Its one-time password completes the login that she began: access, ID and refresh token.
answer=$(curl -s $BELAY/oauth/token -d grant_type=http://auth0.com/oauth/grant-type/mfa-otp \
  -d mfa_token=$mfa_token -d otp=$(otp $secret) -d client_id=$PUBLIC_CLIENT); echo "$answer"

# 4. Another library than the server's verifies the access token with the published keys.
.venv/bin/python -c 'import json, sys, urllib.request
from joserfc import jwk, jwt
url, audience, token = sys.argv[1:]
keys = jwk.KeySet.import_key_set(json.load(urllib.request.urlopen(url)))
claims = jwt.decode(token, keys, algorithms=["RS256"]).claims
jwt.JWTClaimsRegistry(aud={"essential": True, "value": audience}).validate(claims)
print(claims)' \
  $BELAY/.well-known/jwks.json $API "$(echo "$answer" | member access_token)"

# 5. The refresh token works once and is replaced.
curl -s $BELAY/oauth/token -d grant_type=refresh_token -d client_id=$PUBLIC_CLIENT \
  -d refresh_token=$(echo "$answer" | member refresh_token); echo

# 6. The same address in the realm "customers" is another person, with another password and no second factor.
curl -s $BELAY/oauth/token -d grant_type=http://auth0.com/oauth/grant-type/password-realm \
  -d realm=customers -d username=alice@example.com -d password=$CUSTOMER_PASSWORD -d client_id=$PUBLIC_CLIENT; echo

# 7. What the server noted.
.venv/bin/belay logs list --limit 8
