"""Hashes that other programs made, with the password behind each: (name, password, custom_password_hash).

From RFCs and reference implementations where a name says so; the others by Node's `crypto`, and by the `openssl`
command with its legacy provider for MD4.
"""

from typing import Any

PASSWORD = "pä$$ wörd"
SALT_HEX = "00ff1020fa010203"
HEX_SALT = {"value": SALT_HEX, "encoding": "hex", "position": "suffix"}
OPENWALL_LONG = (
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored"
)


def one(algorithm: str, value: str, **members: Any) -> dict[str, Any]:
    """A hash that says everything in its text."""
    return {"algorithm": algorithm, "hash": {"value": value}, **members}


def coded(algorithm: str, encoding: str, value: str, **members: Any) -> dict[str, Any]:
    return {"algorithm": algorithm, "hash": {"value": value, "encoding": encoding}, **members}


def keyed(digest: str, key: dict[str, str], value: str, **members: Any) -> dict[str, Any]:
    encoding = members.pop("encoding", "hex")
    hashed = {"value": value, "encoding": encoding, "digest": digest, "key": key}
    return {"algorithm": "hmac", "hash": hashed, **members}


_ARGON2 = "m=65536,t=2,p=1$c29tZXNhbHQ"
_JEFE = ({"value": "Jefe"}, "what do ya want for nothing?")
_HEX_KEY = {"value": SALT_HEX, "encoding": "hex"}

VECTORS: list[tuple[str, str, dict[str, Any]]] = [
    # digests
    ("md4 RFC 1320", "abc", coded("md4", "hex", "a448017aaf21d8525fc10ae87aa6729d")),
    (
        "md4 salted",
        PASSWORD,
        coded("md4", "hex", "3304c9ac7365b758c0c02428768b2d38", salt={"value": "Na+Cl"}),
    ),
    ("md5 RFC 1321", "message digest", coded("md5", "hex", "f96b697d7cb7938d525a2f31aaf161d0")),
    (
        "md5 in Auth0's schema, upper case",
        "password",
        coded("md5", "hex", "67A1E09BB1F83F5007DC119C14D663AA", salt={"value": "salt", "position": "prefix"}),
    ),
    (
        "md5 prefix",
        PASSWORD,
        coded("md5", "hex", "d03cef31ff131d5144516cab643049e3", salt={"value": "Na+Cl"}),
    ),
    ("md5 suffix", PASSWORD, coded("md5", "base64", "+qni5PuXRo+W3uVyXbdLQg==", salt=HEX_SALT)),
    (
        "md5 suffix, salt in base64",
        PASSWORD,
        coded(
            "md5",
            "base64",
            "+qni5PuXRo+W3uVyXbdLQg",
            salt={"value": "AP8QIPoBAgM=", "encoding": "base64", "position": "suffix"},
        ),
    ),
    ("md5 url-safe", PASSWORD, coded("md5", "base64", "ho2SqPhBof-rPWEhfIhdVw")),
    ("sha1 FIPS 180", "abc", coded("sha1", "hex", "a9993e364706816aba3e25717850c26c9cd0d89d")),
    ("sha1 suffix", PASSWORD, coded("sha1", "base64", "V9+cZkqgAfOmTgS/dpyRYUOoXr4=", salt=HEX_SALT)),
    (
        "sha256 FIPS 180",
        "abc",
        coded("sha256", "hex", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ),
    (
        "sha256 suffix",
        PASSWORD,
        coded("sha256", "base64", "APvWEiCBFQnCR70iq7gfT9QXhmDZPU5gm5Hnld3X1+o=", salt=HEX_SALT),
    ),
    (
        "sha512 url-safe",
        PASSWORD,
        coded(
            "sha512",
            "base64",
            "U5A1TSQ299S9Vk0A5E8VTr3YFH3eaS_t4wzusPdlGPSPEptAQX5t90Vl3Z_xMIpevdDaBx5gW8xVpLMjag_60Q",
        ),
    ),
    # HMAC
    ("hmac md5 RFC 2202", _JEFE[1], keyed("md5", _JEFE[0], "750c783e6ab0b503eaa86e310a5db738")),
    (
        "hmac sha256 RFC 4231",
        _JEFE[1],
        keyed("sha256", _JEFE[0], "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ),
    (
        "hmac sha1 in Auth0's examples",
        "test",
        keyed(
            "sha1", {"value": "736868", "encoding": "hex"}, "cg7f42jH39/2EaAU4wNd4s2lKIk=", encoding="base64"
        ),
    ),
    ("hmac md4", PASSWORD, keyed("md4", {"value": "key"}, "1dbb67776046ac6a8df830abb4ade352")),
    (
        "hmac sha224, key in base64",
        PASSWORD,
        keyed(
            "sha224",
            {"value": "AP8QIPoBAgM", "encoding": "base64"},
            "810f09826bdabf732ec29fa3399f3550de7a26ba8b07a5e1ae382277",
        ),
    ),
    (
        "hmac sha384",
        PASSWORD,
        keyed(
            "sha384",
            _HEX_KEY,
            "472752962c64fb1b86e55eb68720430b7ed65b3ad69e13bdb728b5a0595a6d66245bb35fa44691214488c4f644275010",
        ),
    ),
    (
        "hmac sha512",
        PASSWORD,
        keyed(
            "sha512",
            _HEX_KEY,
            "3069860bdde1256a65239225f38d1835ec237a6d7f9e396288a45422b543cd3a"
            "29d1a4a9e25876846ef454d187ea57b89342f97a87a565317be88c8c5b5258f8",
        ),
    ),
    (
        "hmac salted",
        PASSWORD,
        keyed(
            "sha256",
            {"value": "key"},
            "ceEc0dmo9mXkx8uHLGCG7oM65/LXaPwkLbeWnhqtgbM=",
            encoding="base64",
            salt={"value": "pepper"},
        ),
    ),
    # LDAP
    ("ldap MD5", PASSWORD, one("ldap", "{MD5}ho2SqPhBof+rPWEhfIhdVw==")),
    ("ldap SMD5", PASSWORD, one("ldap", "{SMD5}+qni5PuXRo+W3uVyXbdLQgD/ECD6AQID")),
    ("ldap SHA", PASSWORD, one("ldap", "{SHA}PmAR1EMbEbsKiOu57DH2TMreAPU=")),
    ("ldap SSHA, lower case", PASSWORD, one("ldap", "{ssha}V9+cZkqgAfOmTgS/dpyRYUOoXr4A/xAg+gECAw==")),
    ("ldap SHA224", PASSWORD, one("ldap", "{SHA224}AxRZAkj4PleEHMjAjsk0Ktfhd/fwHiG1GhhBAQ==")),
    (
        "ldap SSHA256",
        PASSWORD,
        one("ldap", "{SSHA256}APvWEiCBFQnCR70iq7gfT9QXhmDZPU5gm5Hnld3X1+oA/xAg+gECAw=="),
    ),
    (
        "ldap SSHA384",
        PASSWORD,
        one("ldap", "{SSHA384}JqZYmlE+ezA6dJ2cx3M9y98LnckBpO7q7I/X7DbkjYz1sq67JwMTWnIz2u560jp8AP8QIPoBAgM="),
    ),
    (
        "ldap SSHA512",
        PASSWORD,
        one(
            "ldap",
            "{SSHA512}FsHEkzIgl+/GIMqN63HZwNTw+06XSnEsEW1iDyVMuqTEXZmmtk+8Jm+2hdj0SA8mfIqNYnGAVxUz6+oedClh/gD/ECD6AQID",
        ),
    ),
    # bcrypt
    (
        "bcrypt in Auth0's text",
        "hello",
        one("bcrypt", "$2b$10$nFguVi9LsCAcvTZFKQlRKeLVydo8ETv483lkNsSFI/Wl1Rz1Ypo1K"),
    ),
    ("bcrypt Openwall", "U*U", one("bcrypt", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")),
    (
        "bcrypt Openwall, cut at 72 bytes",
        OPENWALL_LONG,
        one("bcrypt", "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"),
    ),
    (
        "bcrypt Openwall, latin1 and $2y$",
        "\xff\xff\xa3",
        one(
            "bcrypt",
            "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
            password={"encoding": "latin1"},
        ),
    ),
    (
        "bcrypt with a salt of its own",
        "*U",
        one("bcrypt", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", salt={"value": "U"}),
    ),
    (
        "bcrypt with a salt behind",
        "U*",
        one(
            "bcrypt",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            salt={"value": "U", "position": "suffix"},
        ),
    ),
    # argon2, from the reference implementation's test
    (
        "argon2i",
        "password",
        one("argon2", f"$argon2i$v=19${_ARGON2}$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA"),
    ),
    (
        "argon2i of version 16",
        "password",
        one("argon2", f"$argon2i${_ARGON2}$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ"),
    ),
    # PBKDF2
    (
        "pbkdf2 sha1 RFC 6070",
        "password",
        one("pbkdf2", "$pbkdf2-sha1$i=4096,l=20$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE"),
    ),
    ("pbkdf2 md5", PASSWORD, one("pbkdf2", "$pbkdf2-RSA-MD5$i=1000,l=16$AP8QIPoBAgM$llyUulnofGK/uM+50dqFIA")),
    (
        "pbkdf2 sha224",
        PASSWORD,
        one(
            "pbkdf2",
            "$pbkdf2-sha224WithRSAEncryption$i=1000,l=28$AP8QIPoBAgM$IHhqNlzS0cZLX0K0CLJIUyt4fu2OQbGpUk/qaQ",
        ),
    ),
    (
        "pbkdf2 sha256, two blocks",
        PASSWORD,
        one(
            "pbkdf2",
            "$pbkdf2-sha256$l=64,i=1000$AP8QIPoBAgM"
            "$pnmGq848etaYmmlZxk+iRhk7l399eCkS3S2RY7CNdTWHisc0iraO9D4ccPAxgimpTpLPWgwXAV5CxGLYGLsLWg",
        ),
    ),
    (
        "pbkdf2 with what is not said",
        PASSWORD,
        one(
            "pbkdf2",
            "$pbkdf2-sha512$AP8QIPoBAgM"
            "$fDEQ4xnDk9/C6V0Jvs5yMHJx4J7jMoSUeXXIjQMU37WFDrClJSIiJF6dDThjsApEIEPlnXF5/MhFgfbfLH2aKA",
        ),
    ),
    (
        "pbkdf2 sha384",
        PASSWORD,
        one(
            "pbkdf2",
            "$pbkdf2-RSA-SHA384$i=1000,l=48$AP8QIPoBAgM"
            "$Nc6scPdCLCiKasuMp10fqceUSyws7UbBdmbm6DnJh2Ns8SM9qwwJgBD6MX/4dywG",
        ),
    ),
    (
        "pbkdf2 rmd160",
        PASSWORD,
        one("pbkdf2", "$pbkdf2-rmd160$i=1000,l=20$AP8QIPoBAgM$TeMFIj16LBbzyi4x71en/bKzhd8"),
    ),
    # scrypt
    (
        "scrypt, 64 MiB",
        PASSWORD,
        coded(
            "scrypt",
            "hex",
            "4550430ccccb2cca85cac69f93db4e51fc6f2543db85df011ce212299724e8d9",
            salt={"value": "abc123"},
            keylen=32,
            cost=65536,
        ),
    ),
    (
        "scrypt RFC 7914",
        "password",
        coded(
            "scrypt",
            "hex",
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
            "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
            salt={"value": "NaCl"},
            keylen=64,
            cost=1024,
            blockSize=8,
            parallelization=16,
        ),
    ),
    (
        "scrypt in Auth0's examples",
        "password",
        coded(
            "scrypt",
            "hex",
            "097f6197e1b41538f723e32aa7a68e8d76227d8e432ce5faa4882a913032db29",
            salt={"value": "abc123", "encoding": "utf8"},
            keylen=32,
            cost=4096,
        ),
    ),
    (
        "scrypt with Auth0's defaults",
        PASSWORD,
        coded(
            "scrypt",
            "hex",
            "12716bfe3c12ccdc46b3355a0e90895249593983fe4a33667bf8310805cf4814"
            "e35101643ba12d967d7cbc9855d44c421e53e79d4958b990b6c712204809dcb6",
            salt={"value": "abc123"},
            keylen=64,
        ),
    ),
    # the password's encoding
    *(
        (f"sha256 of {name}", PASSWORD, coded("sha256", "hex", value, password={"encoding": name}))
        for name, value in (
            ("utf8", "624a8bc8911c7b2e325b33aea31388ce36e1c084e03e47fca196359b53b10e09"),
            ("utf16le", "12183374aef1504858c64e9060c1a2d4f69aa4fe5c244e0dc265bcd6b2005ff1"),
            ("ucs2", "12183374aef1504858c64e9060c1a2d4f69aa4fe5c244e0dc265bcd6b2005ff1"),
            ("latin1", "55e8e8c7ebdb385619c36c9b423421e60a3fa805a7baeb0bbd68bd53b49645da"),
            ("binary", "55e8e8c7ebdb385619c36c9b423421e60a3fa805a7baeb0bbd68bd53b49645da"),
        )
    ),
    (
        "sha256 of ascii",
        "plain",
        coded(
            "sha256",
            "hex",
            "a116c9ed46d6207734a43317d30fd88f52ac8634c37d904bbf4e41d865f90475",
            password={"encoding": "ascii"},
        ),
    ),
]
