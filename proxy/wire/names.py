"""Field names with a meaning for a proxy: hop-by-hop, framing, credentials, identity (rule groups D and E).

They are those of the HTTP standards and of the credentials every client of this field sends; what a platform wants stands in its
rule file. All in lower case.
"""

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-authorization",
        b"proxy-authenticate",
        b"http2-settings",
    )
)
# Credentials of another hop (D03): never forwarded, added back only from the rule.
CREDENTIALS = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"x-api-key", b"api-key", b"x-goog-api-key"))
# Who the client is in its own network is nobody else's business (D04).
_IDENTITY = frozenset((b"forwarded", b"x-real-ip", b"true-client-ip", b"cf-connecting-ip", b"x-client-ip"))
IDENTITY_PREFIXES = (b"x-forwarded-", b"x-original-", b"x-rewrite-")
_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
NEVER_FORWARDED = HOP_BY_HOP | _IDENTITY | _FRAMING
# Nomination by Connection cannot reach these (D02): they are not the client's to remove.
NOT_NOMINABLE = _FRAMING | CREDENTIALS | frozenset((b"modelname",))

# Response fields that never go on (E01, E08); Set-Cookie is decided by the rule (E04).
RESPONSE_DROPPED = HOP_BY_HOP - {b"transfer-encoding"} | frozenset(
    (b"alt-svc", b"strict-transport-security", b"public-key-pins", b"public-key-pins-report-only", b"nel", b"report-to")
)
CREDENTIAL_PARAMETERS = frozenset((b"key", b"api_key", b"access_token"))
# Fields of a response that the upstream's Connection cannot nominate: they frame or describe the body.
NOT_NOMINABLE_IN_RESPONSE = frozenset(
    (b"content-length", b"transfer-encoding", b"content-type", b"content-encoding", b"date", b"set-cookie")
)
