// Calls of a node's API. Same origin always: the node that served the page answers.

import type { ProblemBody } from "./types";
import { uuidV7 } from "./uuid";

/** What the API refused, in its own words. `problem` is the last part of the problem's type. */
export class ApiProblem extends Error {
  constructor(
    readonly status: number,
    readonly problem: string,
    detail: string,
  ) {
    super(detail);
  }
}

/** No answer at all: the node is gone, or the way to it. */
export class NoAnswer extends Error {
  constructor() {
    super("this node does not answer; try again, or go on through another node");
  }
}

const TYPE_PREFIX = "urn:jiggablend:problem:";

/** Reads a problem from an answer's body; anything that is not one gets plain words. */
export function problemOf(status: number, body: string): ApiProblem {
  try {
    const parsed = JSON.parse(body) as Partial<ProblemBody>;
    if (typeof parsed.type === "string") {
      const problem = parsed.type.startsWith(TYPE_PREFIX)
        ? parsed.type.slice(TYPE_PREFIX.length)
        : parsed.type;
      return new ApiProblem(status, problem, parsed.detail || parsed.title || `status ${status}`);
    }
  } catch {
    // Not JSON: a proxy's page, or nothing. The status is what we know.
  }
  return new ApiProblem(status, "", `the node answered with status ${status}`);
}

export type Method = "HEAD" | "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface CallOptions {
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** Sends a request; an answer of any status, or `NoAnswer`. */
export async function send(method: Method, path: string, body?: unknown, options: CallOptions = {}): Promise<Response> {
  const headers = { ...options.headers, ...(body === undefined ? {} : { "content-type": "application/json" }) };
  try {
    return await fetch(path, {
      method, headers, signal: options.signal, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new NoAnswer();
  }
}

export async function call<T>(method: Method, path: string, body?: unknown, options: CallOptions = {}): Promise<T> {
  const answer = await send(method, path, body, options);
  let text: string;
  try {
    text = await answer.text();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new NoAnswer();
  }
  if (!answer.ok) throw problemOf(answer.status, text);
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** How often a create is tried, and how long it waits in between: about a change of leader. */
const CREATE_DELAYS_MS: readonly number[] = [500, 1_500];

/**
 * Makes something. All tries carry one idempotency key, so that an answer that was lost on its way,
 * or a change of leader, makes one thing and not two.
 */
export async function create<T>(path: string, body: unknown, delays_ms = CREATE_DELAYS_MS): Promise<T> {
  const options = { headers: { "idempotency-key": uuidV7() } };
  for (const delay_ms of delays_ms) {
    try {
      return await call<T>("POST", path, body, options);
    } catch (error) {
      if (!mayPass(error)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, delay_ms));
  }
  return call<T>("POST", path, body, options);
}

/** Whether the same request may well be answered in a moment. */
function mayPass(error: unknown): boolean {
  return error instanceof NoAnswer || (error instanceof ApiProblem && error.status === 503);
}

/** `?a=1&b=2` of what is not blank, or nothing. */
export function query(values: Record<string, string | number | null | undefined>): string {
  const kept = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (kept.length === 0) return "";
  return `?${new URLSearchParams(kept.map(([key, value]) => [key, String(value)]))}`;
}

/** A path of fixed words and of values that are made safe. */
export function path(strings: TemplateStringsArray, ...values: (string | number)[]): string {
  return strings.map((part, at) => part + (at < values.length ? encodeURIComponent(values[at] ?? "") : "")).join("");
}

/** An error in words for a person. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
