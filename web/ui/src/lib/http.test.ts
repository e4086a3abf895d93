import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiProblem, call, create, NoAnswer, path, query } from "./http";

afterEach(() => vi.unstubAllGlobals());

function refuse(status: number, name: string): Response {
  const body = { type: `urn:jiggablend:problem:${name}`, title: name, status, detail: `${name}: try again` };
  return Response.json(body, { status });
}

/** Answers in turn; what was asked is kept. */
function answers(...next: (() => Response)[]): { keys: (string | null)[] } {
  const asked = { keys: [] as (string | null)[] };
  vi.stubGlobal("fetch", async (_: string, options: RequestInit) => {
    asked.keys.push(new Headers(options.headers).get("idempotency-key"));
    const answer = next.shift();
    if (!answer) throw new TypeError("failed to fetch");
    return answer();
  });
  return asked;
}

describe("an address", () => {
  it("keeps values from becoming paths", () => {
    expect(path`/api/jobs/${"../users"}/tasks/${7}`).toBe("/api/jobs/..%2Fusers/tasks/7");
  });

  it("leaves out what was not asked", () => {
    expect(query({ q: "a b&c", limit: 5, cursor: undefined, owner: "", before: null })).toBe("?q=a+b%26c&limit=5");
    expect(query({ q: "" })).toBe("");
  });
});

describe("making something", () => {
  it("asks again with the same key when the answer was lost or there was no leader, so that one is made", async () => {
    const lost = (): Response => {
      throw new TypeError("failed to fetch");
    };
    const asked = answers(lost, () => refuse(503, "no-leader"), () => Response.json({ id: "t" }, { status: 201 }));
    expect(await create("/api/tokens", {}, [0, 0])).toEqual({ id: "t" });
    expect(asked.keys).toHaveLength(3);
    expect(new Set(asked.keys).size).toBe(1);
    expect(asked.keys[0]).toMatch(/^[!-~]{1,255}$/);
  });

  it("takes a refusal as one", async () => {
    const asked = answers(() => refuse(422, "invalid-request"));
    await expect(create("/api/tokens", {}, [0, 0])).rejects.toMatchObject({ status: 422, problem: "invalid-request" });
    expect(asked.keys).toHaveLength(1);
  });

  it("gives up after its tries, and uses a new key for the next thing", async () => {
    const asked = answers();
    await expect(create("/api/tokens", {}, [0])).rejects.toBeInstanceOf(NoAnswer);
    await expect(create("/api/tokens", {}, [])).rejects.toBeInstanceOf(NoAnswer);
    expect(asked.keys).toHaveLength(3);
    expect(asked.keys[0]).toBe(asked.keys[1]);
    expect(asked.keys[2]).not.toBe(asked.keys[1]);
  });
});

describe("a call", () => {
  it("takes an empty answer", async () => {
    answers(() => new Response(null, { status: 204 }));
    expect(await call("DELETE", "/api/tokens/t")).toBeUndefined();
  });

  it("says what was refused", async () => {
    answers(() => refuse(403, "not-allowed"));
    const refused = await call("GET", "/api/users").catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ApiProblem);
    expect(refused).toMatchObject({ problem: "not-allowed", message: "not-allowed: try again" });
  });
});
