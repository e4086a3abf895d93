"""Bodies that schemathesis does not know how to send."""

import schemathesis


@schemathesis.serializer("application/offset+octet-stream")
def piece_of_an_upload(context, value):
    """Bytes as they are."""
    return {"data": value if isinstance(value, bytes) else str(value).encode()}
