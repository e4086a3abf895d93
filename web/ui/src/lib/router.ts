// Where the page is. It lives in the hash, so that the same address works on every node and a
// node only serves one document.

export type Route =
  | { page: "jobs"; filter: string; states: readonly string[] }
  | { page: "job"; id: string; frame: number | null }
  | { page: "nodes" }
  | { page: "unknown"; path: string };

export const JOBS: Route = { page: "jobs", filter: "", states: [] };
export const NODES: Route = { page: "nodes" };

/** Reads `location.hash`. Never throws: an address that nobody wrote is `unknown`. */
export function parseHash(hash: string): Route {
  const text = hash.replace(/^#/, "");
  const [path = "", query = ""] = splitOnce(text, "?");
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.length === 0 || (parts[0] === "jobs" && parts.length === 1)) {
    const values = new URLSearchParams(query);
    const states = (values.get("state") ?? "").split(",").filter((state) => state !== "");
    return { page: "jobs", filter: values.get("q") ?? "", states };
  }
  if (parts[0] === "nodes" && parts.length === 1) return NODES;
  if (parts[0] === "jobs" && parts[1] !== undefined) {
    const id = decode(parts[1]);
    if (id !== null && parts.length === 2) return { page: "job", id, frame: null };
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
      if (route.states.length > 0) values.set("state", route.states.join(","));
      if (route.filter !== "") values.set("q", route.filter);
      const query = values.toString();
      return query === "" ? "#/jobs" : `#/jobs?${query}`;
    }
    case "job": {
      const job = `#/jobs/${encodeURIComponent(route.id)}`;
      return route.frame === null ? job : `${job}/frames/${route.frame}`;
    }
    case "nodes":
      return "#/nodes";
    case "unknown":
      return `#${route.path}`;
  }
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
