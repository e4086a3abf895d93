// Where the page is. It lives in the hash, so that the same address works on every node and a
// node only serves one document.

import { DEFAULT_SORT, isJobState, isSort, type Sort } from "./joblist";
import type { Begun } from "./resume";
import type { JobState } from "./types";

export const ADMIN_TABS = ["users", "invitations", "runners", "tickets", "settings", "audit"] as const;
export type AdminTab = (typeof ADMIN_TABS)[number];

export type JobsRoute = {
  page: "jobs";
  filter: string;
  /** Blank for all. */
  state: JobState | "";
  /** `me`, a user's id, or blank for everybody's. */
  owner: string;
  sort: Sort;
};

export type Route =
  | JobsRoute
  /** `upload`: the one of the scene that is under way, so that another node's page can go on with it. */
  | { page: "job"; id: string; frame: number | null; upload?: Begun }
  | { page: "nodes" }
  | { page: "account" }
  | { page: "admin"; tab: AdminTab }
  | { page: "invite"; secret: string }
  | { page: "device"; code: string }
  | { page: "unknown"; path: string };

export const JOBS: JobsRoute = { page: "jobs", filter: "", state: "", owner: "", sort: DEFAULT_SORT };
export const NODES: Route = { page: "nodes" };
export const ACCOUNT: Route = { page: "account" };
export const ADMIN: Route = { page: "admin", tab: "users" };

/** Reads `location.hash`. Never throws: an address that nobody wrote is `unknown`. */
export function parseHash(hash: string): Route {
  const text = hash.replace(/^#/, "");
  const [path = "", query = ""] = splitOnce(text, "?");
  const parts = path.split("/").filter((part) => part !== "");
  const values = new URLSearchParams(query);
  if (parts.length === 0 || (parts[0] === "jobs" && parts.length === 1)) {
    const state = values.get("state") ?? "";
    const sort = values.get("sort") ?? "";
    return {
      page: "jobs", filter: values.get("q") ?? "", state: isJobState(state) ? state : "", owner: values.get("owner") ?? "",
      sort: isSort(sort) ? sort : DEFAULT_SORT,
    };
  }
  if (parts[0] === "nodes" && parts.length === 1) return NODES;
  if (parts[0] === "account" && parts.length === 1) return ACCOUNT;
  if (parts[0] === "device" && parts.length === 1) return { page: "device", code: values.get("code") ?? "" };
  if (parts[0] === "invite" && parts[1] !== undefined && parts.length === 2) {
    const secret = decode(parts[1]);
    if (secret !== null) return { page: "invite", secret };
  }
  // As the farm's links to an invitation are written.
  if (parts[0] === "register" && parts.length === 1) {
    const secret = values.get("invitation");
    if (secret !== null) return { page: "invite", secret };
  }
  if (parts[0] === "admin" && parts.length <= 2) {
    const tab = ADMIN_TABS.find((one) => one === (parts[1] ?? "users"));
    if (tab) return { page: "admin", tab };
  }
  if (parts[0] === "jobs" && parts[1] !== undefined) {
    const id = decode(parts[1]);
    const upload = readUpload(values);
    if (id !== null && parts.length === 2) return { page: "job", id, frame: null, ...(upload ? { upload } : {}) };
    const frame = Number(parts[3]);
    if (id !== null && parts.length === 4 && parts[2] === "frames" && Number.isInteger(frame)) {
      return { page: "job", id, frame };
    }
  }
  return { page: "unknown", path };
}

/** The address of a route; `parseHash` reads it back. */
export function href(route: Route): string {
  switch (route.page) {
    case "jobs": {
      const values = new URLSearchParams();
      if (route.state !== "") values.set("state", route.state);
      if (route.filter !== "") values.set("q", route.filter);
      if (route.owner !== "") values.set("owner", route.owner);
      if (route.sort !== DEFAULT_SORT) values.set("sort", route.sort);
      const query = values.toString();
      return query === "" ? "#/jobs" : `#/jobs?${query}`;
    }
    case "job": {
      const job = `#/jobs/${encodeURIComponent(route.id)}`;
      if (route.frame !== null) return `${job}/frames/${route.frame}`;
      return route.upload === undefined ? job : `${job}?${uploadQuery(route.upload)}`;
    }
    case "nodes":
      return "#/nodes";
    case "account":
      return "#/account";
    case "admin":
      return `#/admin/${route.tab}`;
    case "invite":
      return `#/invite/${encodeURIComponent(route.secret)}`;
    case "device":
      return route.code === "" ? "#/device" : `#/device?${new URLSearchParams({ code: route.code })}`;
    case "unknown":
      return `#${route.path}`;
  }
}

/** The upload in the address: its id, and of which file it is. */
function uploadQuery({ id, name, size_bytes, last_modified_ms }: Begun): string {
  return String(new URLSearchParams({ upload: id, file: name, bytes: String(size_bytes), changed: String(last_modified_ms) }));
}

function readUpload(values: URLSearchParams): Begun | null {
  const id = values.get("upload");
  const name = values.get("file");
  const [size_bytes, last_modified_ms] = [Number(values.get("bytes") ?? NaN), Number(values.get("changed") ?? NaN)];
  if (!id || !name || !Number.isSafeInteger(size_bytes) || !Number.isSafeInteger(last_modified_ms)) return null;
  return { id, name, size_bytes, last_modified_ms };
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}
