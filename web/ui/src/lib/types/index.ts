// The shapes of docs/api.md, word for word. Times are milliseconds since the Unix epoch.

export * from "./accounts";
export * from "./admin";
export * from "./farm";
export * from "./jobs";
export * from "./live";
export * from "./problem";
export * from "./webhooks";
