"""Bodies that schemathesis does not know how to send."""

import schemathesis


@schemathesis.serializer("application/offset+octet-stream")
class OffsetOctetStream:
    """A piece of a tus upload: bytes as they are."""

    def as_requests(self, ctx, value):
        return {"data": value if isinstance(value, bytes) else str(value).encode()}

    def as_werkzeug(self, ctx, value):
        return {"data": value if isinstance(value, bytes) else str(value).encode()}
