// The typed client of a node's API. Same origin always: the node that served the page answers.

import type {
  Farm, FarmNode, Job, JobSummary, Providers, ProblemBody, StoredFile, Ticket, User,
} from "./types";

/** What the API refused, in its own words. `name` is the last part of the problem's type. */
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

async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(path, {
      method,
      signal,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new NoAnswer();
  }
  if (!answer.ok) throw problemOf(answer.status, text);
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

export interface JobOrder {
  id: string;
  name: string;
  frames?: string;
  video: boolean;
}

export interface JobPage {
  jobs: JobSummary[];
  next_before?: string | null;
}

const jobPath = (id: string): string => `/api/jobs/${encodeURIComponent(id)}`;

export const api = {
  providers: () => call<Providers>("GET", "/api/auth/providers"),
  me: () => call<{ user: User }>("GET", "/api/auth/me"),
  login: (email: string, password: string) =>
    call<{ user: User }>("POST", "/api/auth/login", { email, password }),
  logout: () => call<void>("POST", "/api/auth/logout"),

  farm: (signal?: AbortSignal) => call<Farm>("GET", "/api/farm", undefined, signal),
  nodes: (signal?: AbortSignal) => call<{ nodes: FarmNode[] }>("GET", "/api/nodes", undefined, signal),
  makeTicket: (voter: boolean) => call<Ticket>("POST", "/api/tickets", { voter, runner: true }),

  jobs: (before?: string, signal?: AbortSignal) =>
    call<JobPage>("GET", `/api/jobs${before ? `?before=${encodeURIComponent(before)}` : ""}`, undefined, signal),
  job: (id: string, signal?: AbortSignal) => call<Job>("GET", jobPath(id), undefined, signal),
  submit: (order: JobOrder) => call<Job>("POST", "/api/jobs", order),
  cancel: (id: string) => call<Job>("DELETE", jobPath(id)),
};

/** Where a file's bytes are. `inline` is for pictures in the page. */
export function fileUrl(job: string, file: string, inline = false): string {
  return `${jobPath(job)}/files/${encodeURIComponent(file)}/download${inline ? "?inline=1" : ""}`;
}

/**
 * Sends a scene file. XMLHttpRequest, since fetch does not tell how far an upload is.
 * `onProgress` gets 0 to 1; at 1 the node still has to copy the scene to its peers.
 */
export function uploadScene(
  job: string,
  file: File,
  onProgress: (fraction: number) => void,
  signal: AbortSignal,
): Promise<StoredFile> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file, file.name);
    request.open("POST", `${jobPath(job)}/upload`);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable && event.total > 0) onProgress(event.loaded / event.total);
    };
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) {
        resolve(JSON.parse(request.responseText) as StoredFile);
      } else {
        reject(problemOf(request.status, request.responseText));
      }
    };
    request.onerror = () => reject(new NoAnswer());
    request.onabort = () => reject(new DOMException("the upload was stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/** An error in words for a person. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
