// Answers of the mock.

export function json(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

export function none(response) {
  response.writeHead(204).end();
}

export function problem(response, status, name, detail) {
  response.writeHead(status, { "content-type": "application/problem+json" })
    .end(JSON.stringify({ type: `urn:jiggablend:problem:${name}`, title: name, status, detail }));
}

export async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

export async function bodyJson(request) {
  const bytes = await body(request);
  return bytes.length === 0 ? {} : JSON.parse(bytes);
}
