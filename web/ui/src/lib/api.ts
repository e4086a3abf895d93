// The farm, its nodes and its jobs, typed. Accounts are in accountapi.ts, admins' calls in adminapi.ts.

import { call, create, path, query } from "./http";
import type {
  Attempt, Farm, FarmNode, Job, JobState, JobSummary, Person, Share, ShareAccess, StoredFile, Ticket,
} from "./types";

export { ApiProblem, NoAnswer, problemOf, words } from "./http";

export interface JobOrder {
  name: string;
  frames?: string;
  video: boolean;
}

export interface JobPage {
  jobs: JobSummary[];
  /** The last job of this page, where more follow. */
  next_cursor?: string;
}

/** What is blank is not asked for. */
export interface JobQuery {
  state?: JobState | "";
  owner?: string;
  /** A part of the name. */
  q?: string;
  sort?: string;
  cursor?: string;
}

/** As many attempts as an answer has at most; a task that is given up has far fewer. */
const MAX_ATTEMPTS = 1_000;

export const api = {
  farm: (signal?: AbortSignal) => call<Farm>("GET", "/api/farm", undefined, { signal }),
  nodes: (signal?: AbortSignal) => call<{ nodes: FarmNode[] }>("GET", "/api/nodes", undefined, { signal }),
  removeNode: (node: number) => call<void>("DELETE", path`/api/nodes/${node}`),
  makeTicket: (voter: boolean) => create<Ticket>("/api/tickets", { voter, runner: true }),

  jobs: (asked: JobQuery = {}, signal?: AbortSignal) =>
    call<JobPage>("GET", `/api/jobs${query({ ...asked })}`, undefined, { signal }),
  job: (id: string, signal?: AbortSignal) => call<Job>("GET", path`/api/jobs/${id}`, undefined, { signal }),
  submit: (order: JobOrder) => create<Job>("/api/jobs", order),
  cancel: (id: string) => call<Job>("DELETE", path`/api/jobs/${id}`),
  files: (id: string, kind?: string) => call<{ files: StoredFile[] }>("GET", path`/api/jobs/${id}/files` + query({ kind })),

  attempts: (id: string, task: number, signal?: AbortSignal) =>
    call<{ attempts: Attempt[] }>("GET", path`/api/jobs/${id}/tasks/${task}/attempts` + query({ limit: MAX_ATTEMPTS }), undefined, { signal }),

  shares: (id: string) => call<{ shares: Share[] }>("GET", path`/api/jobs/${id}/shares`),
  share: (id: string, user: string, access: ShareAccess) =>
    call<{ shares: Share[] }>("PUT", path`/api/jobs/${id}/shares/${user}`, { access }),
  unshare: (id: string, user: string) => call<void>("DELETE", path`/api/jobs/${id}/shares/${user}`),
  people: (q: string, signal?: AbortSignal) =>
    call<{ users: Person[] }>("GET", `/api/users/names${query({ q })}`, undefined, { signal }),
};

/** Where a file's bytes are. `inline` is for what is shown in the page. */
export function fileUrl(job: string, file: string, inline = false): string {
  return path`/api/jobs/${job}/files/${file}/download` + (inline ? "?inline=1" : "");
}

/** A picture that a browser can show, at most so wide. */
export function previewUrl(job: string, file: string, width_px: number): string {
  return path`/api/jobs/${job}/files/${file}/preview` + query({ width: width_px });
}

/** All frames of a job in one file. */
export function archiveUrl(job: string, format: "zip" | "tar"): string {
  return path`/api/jobs/${job}/archive` + query({ format, kind: "frame" });
}

export interface LogAsked {
  /** The attempt's epoch; without it the newest one. */
  attempt: number | null;
  /** The last so many lines; null for all. */
  tail: number | null;
  follow?: boolean;
}

export function logUrl(job: string, task: number, asked: LogAsked): string {
  return path`/api/jobs/${job}/tasks/${task}/log` +
    query({ attempt: asked.attempt, tail: asked.tail, follow: asked.follow ? 1 : null });
}
