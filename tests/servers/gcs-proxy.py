"""A header proxy: lets a client of Google Cloud Storage's XML API use a server that speaks S3.

    gcs-proxy.py LISTEN_PORT S3_PORT

Both APIs have the same paths and bodies; the names of the headers differ. On the way in, x-goog-*
becomes x-amz-*, and a generation that has to match becomes an ETag that has to match (generation 0,
"must not exist", becomes If-None-Match: *). On the way out, the ETag is also the generation.
What it can't show is whatever is Google's own: real generations, OAuth, answers of 429.
"""

import asyncio
import sys

GENERATION_MATCH = "x-goog-if-generation-match"


def request_headers(headers):
    """The headers of a Google request as S3 knows them."""
    for name, value in headers:
        name = name.lower()
        if name == "authorization":
            continue
        if name == GENERATION_MATCH:
            if value == "0":
                yield "if-none-match", "*"
            else:
                yield "if-match", f'"{value}"'
        else:
            if name.startswith("x-goog-"):
                name = "x-amz-" + name.removeprefix("x-goog-")
            yield name, value


def response_headers(headers):
    """The headers of an S3 answer as Google would give them."""
    for name, value in headers:
        name = name.lower()
        if name == "etag":
            yield "x-goog-generation", value.strip('"')
        if name.startswith("x-amz-"):
            name = "x-goog-" + name.removeprefix("x-amz-")
        yield name, value


async def read_head(reader):
    """The first line and the headers of a message; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return first, [(name.strip(), value.strip()) for name, value in pairs]


async def read_body(reader, headers, *, bodyless=False):
    """The whole body of a message, whichever way its length is told."""
    fields = {name.lower(): value for name, value in headers}
    if bodyless:
        return b""
    if fields.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(fields.get("content-length", 0)))
    body = bytearray()
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass
    return bytes(body)


async def write_message(writer, first, headers, body, *, length=True):
    lines = [first]
    for name, value in headers:
        if name.lower() not in ("transfer-encoding", "connection", *(["content-length"] if length else [])):
            lines.append(f"{name}: {value}")
    if length:
        lines.append(f"content-length: {len(body)}")
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    await writer.drain()


async def serve(client_reader, client_writer, s3_port):
    """One connection: its requests go one after another over one connection of their own."""
    server_writer = None
    try:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", s3_port)
        while message := await read_head(client_reader):
            first, headers = message
            if any(name.lower() == "expect" for name, _ in headers):
                client_writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await read_body(client_reader, headers)
            method = first.split(" ", 1)[0]
            conditional = [value for name, value in headers if name.lower() == GENERATION_MATCH]
            headers = [(name, value) for name, value in headers if name.lower() != "expect"]
            # The server behind does not look at the condition of a copy.
            is_copy = any(name.lower() == "x-goog-copy-source" for name, _ in headers)
            if is_copy and conditional == ["0"]:
                path = first.split(" ")[1]
                host = [(name, value) for name, value in headers if name.lower() == "host"]
                await write_message(server_writer, f"HEAD {path} HTTP/1.1", host, b"", length=False)
                found = await read_head(server_reader)
                if found is not None and found[0].split(" ")[1] == "200":
                    await write_message(client_writer, "HTTP/1.1 412 Precondition Failed", [], b"")
                    continue
            await write_message(server_writer, first, request_headers(headers), body)

            answer = await read_head(server_reader)
            if answer is None:
                return
            first, headers = answer
            status = first.split(" ")[1]
            bodyless = method == "HEAD" or status in ("204", "304")
            body = await read_body(server_reader, headers, bodyless=bodyless)
            # S3 says 404 when there is nothing to match; Google says that the match failed.
            if method == "PUT" and status == "404" and conditional not in ([], ["0"]):
                first = "HTTP/1.1 412 Precondition Failed"
            await write_message(client_writer, first, response_headers(headers), body, length=not bodyless)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        for writer in (client_writer, server_writer):
            if writer:
                writer.close()


async def main(listen_port, s3_port):
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, s3_port), "127.0.0.1", listen_port, limit=1 << 20
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(*map(int, sys.argv[1:3])))
    except KeyboardInterrupt:
        pass
