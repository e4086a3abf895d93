// What the page knows of the farm, and how each message changes it. Pure: the connection
// (live.ts) turns answers and events into messages, the store (store.svelte.ts) shows the result.
//
// Changes carry full objects, so that applying one twice, or after a read that already had it,
// ends in the same place. A stream that begins at or before a read's index misses nothing.

import type {
  Change, Farm, FarmNode, Job, JobSummary, SceneFacts, StoredFile, Task, TaskProgress,
} from "./types";

export interface Detail {
  status: "reading" | "ready" | "unreadable";
  /** Why it is unreadable, in the node's words: there is no such job, or it is not the caller's. */
  why: string;
  tasks: ReadonlyMap<number, Task>;
  scene: StoredFile | null;
  scene_facts: SceneFacts | null;
  video_file: StoredFile | null;
  /** What the stream said while a read was under way: it wins over that read. */
  meanwhile: Meanwhile | null;
  /** The job has changed in a way that only a new read tells. */
  stale: boolean;
}

/** The end of the pages of a list that were read. */
export interface Listed {
  /** The last job of the last page, where more follow. */
  end: JobSummary | null;
  /** Where the next page begins. */
  cursor: string | null;
}

interface Meanwhile {
  summary: boolean;
  tasks: ReadonlyMap<number, Task>;
}

export interface Model {
  farm: Farm | null;
  leader: number | null;
  nodes: ReadonlyMap<number, FarmNode>;
  jobs: ReadonlyMap<string, JobSummary>;
  /** How far the newest jobs were read. */
  listed: Listed;
  /** The jobs that are open on the page. */
  details: ReadonlyMap<string, Detail>;
  /** Inside running frames, by `taskKey`. */
  progress: ReadonlyMap<string, TaskProgress>;
}

export type Message =
  | { kind: "snapshot"; farm: Farm; nodes: FarmNode[]; jobs: JobSummary[]; cursor: string | null }
  | { kind: "farm"; farm: Farm }
  | { kind: "nodes"; nodes: FarmNode[] }
  | { kind: "jobs_read"; jobs: JobSummary[] }
  | { kind: "changes"; changes: Change[] }
  | { kind: "progress"; tasks: TaskProgress[] }
  | { kind: "leader"; leader: number | null; term: number }
  | { kind: "job_asked"; id: string }
  | { kind: "job_read"; job: Job }
  /** `gone`: there is none for this user, any more or at all. */
  | { kind: "job_unreadable"; id: string; why: string; gone: boolean }
  | { kind: "job_left"; id: string };

export const EMPTY: Model = {
  farm: null,
  leader: null,
  nodes: new Map(),
  jobs: new Map(),
  listed: { end: null, cursor: null },
  details: new Map(),
  progress: new Map(),
};

export function taskKey(job: string, task: number): string {
  return `${job}/${task}`;
}

export function listedBy(jobs: readonly JobSummary[], cursor: string | null): Listed {
  return { end: cursor === null ? null : (jobs.at(-1) ?? null), cursor };
}

/** The model after some messages. Maps that did not change stay the same objects. */
export function reduce(before: Model, messages: readonly Message[]): Model {
  const draft = new Draft(before);
  for (const message of messages) take(draft, message);
  return draft.model;
}

function take(draft: Draft, message: Message): void {
  switch (message.kind) {
    case "snapshot":
      draft.model.farm = message.farm;
      draft.model.leader = message.farm.leader;
      draft.model.jobs = new Map([
        // An open job may be older than the list goes; it is read again in a moment.
        ...[...draft.model.jobs].filter(([id]) => draft.model.details.has(id)),
        ...message.jobs.map((job): [string, JobSummary] => [job.id, job]),
      ]);
      draft.model.listed = listedBy(message.jobs, message.cursor);
      draft.model.progress = new Map();
      draft.forgetCopies();
      nodesRead(draft, message.nodes);
      break;
    case "farm":
      draft.model.farm = message.farm;
      break;
    case "nodes":
      nodesRead(draft, message.nodes);
      break;
    case "jobs_read":
      // The stream's word about a job is never older than a page's.
      for (const job of message.jobs) {
        if (!draft.model.jobs.has(job.id)) draft.jobs().set(job.id, job);
      }
      break;
    case "changes":
      for (const change of message.changes) changed(draft, change);
      break;
    case "progress":
      for (const progress of message.tasks) progressed(draft, progress);
      break;
    case "leader":
      draft.model.leader = message.leader;
      if (draft.model.farm) draft.model.farm = { ...draft.model.farm, leader: message.leader, term: message.term };
      break;
    case "job_asked":
      jobAsked(draft, message.id);
      break;
    case "job_read":
      jobRead(draft, message.job);
      break;
    case "job_unreadable":
      draft.details().set(message.id, { ...BLANK, status: "unreadable", why: message.why });
      if (message.gone && draft.model.jobs.has(message.id)) draft.jobs().delete(message.id);
      break;
    case "job_left":
      if (draft.model.details.has(message.id)) draft.details().delete(message.id);
      break;
  }
}

const BLANK: Detail = {
  status: "reading",
  why: "",
  tasks: new Map(),
  scene: null,
  scene_facts: null,
  video_file: null,
  meanwhile: null,
  stale: false,
};

function nodesRead(draft: Draft, nodes: readonly FarmNode[]): void {
  draft.model.nodes = new Map(nodes.map((node) => [node.id, node]));
  draft.forgetCopies();
  for (const node of nodes) {
    for (const work of node.working_on) {
      const key = taskKey(work.job, work.task);
      // What the stream says of an attempt is newer than this list, and knows its epoch.
      if ((draft.model.progress.get(key)?.epoch ?? 0) > 0) continue;
      draft.progress().set(key, {
        job: work.job, task: work.task, epoch: 0, node: node.id, fraction: work.fraction, text: "",
      });
    }
  }
}

function changed(draft: Draft, change: Change): void {
  if (change.job) jobChanged(draft, change.job);
  if (change.job_gone) jobGone(draft, change.job_gone);
  if (change.task) taskChanged(draft, change.task.job, change.task);
  if (change.file) fileChanged(draft, change.file);
  if (change.node) draft.nodes().set(change.node.id, change.node);
}

function jobChanged(draft: Draft, job: JobSummary): void {
  const known = draft.model.jobs.get(job.id);
  draft.jobs().set(job.id, job);
  const detail = draft.model.details.get(job.id);
  if (!detail) return;
  // The scene's facts come with no change of their own, but with what they bring about.
  const facts_may_be_new = detail.scene_facts === null &&
    (known?.state !== job.state || known.frames !== job.frames);
  draft.details().set(job.id, {
    ...detail,
    stale: detail.stale || facts_may_be_new,
    meanwhile: detail.meanwhile && { ...detail.meanwhile, summary: true },
  });
}

function jobGone(draft: Draft, id: string): void {
  if (draft.model.jobs.has(id)) draft.jobs().delete(id);
  if (draft.model.details.has(id)) {
    draft.details().set(id, { ...BLANK, status: "unreadable", why: "This job is shared with you no longer." });
  }
  for (const key of draft.model.progress.keys()) {
    if (key.startsWith(taskKey(id, 0).slice(0, -1))) draft.progress().delete(key);
  }
}

function taskChanged(draft: Draft, job: string, task: Task): void {
  const key = taskKey(job, task.index);
  const progress = draft.model.progress.get(key);
  const over = task.state !== "leased" || (progress !== undefined && progress.epoch < task.epoch);
  if (progress !== undefined && over) draft.progress().delete(key);
  const detail = draft.model.details.get(job);
  if (!detail) return;
  draft.tasks(job).set(task.index, task);
  if (detail.meanwhile) draft.meanwhileTasks(job).set(task.index, task);
}

function fileChanged(draft: Draft, file: StoredFile): void {
  const detail = draft.model.details.get(file.job);
  if (!detail) return;
  if (file.kind === "video") draft.details().set(file.job, { ...detail, video_file: file });
  if (file.kind === "scene") draft.details().set(file.job, { ...detail, scene: file });
}

function progressed(draft: Draft, progress: TaskProgress): void {
  const task = draft.model.details.get(progress.job)?.tasks.get(progress.task);
  // Progress comes beside the log: a word about an attempt that is over may come late.
  const late = task !== undefined && (task.state !== "leased" || task.epoch > progress.epoch);
  if (!late) draft.progress().set(taskKey(progress.job, progress.task), progress);
}

function jobAsked(draft: Draft, id: string): void {
  const detail = draft.model.details.get(id);
  const known = detail === undefined || detail.status === "unreadable" ? BLANK : detail;
  draft.details().set(id, { ...known, stale: false, meanwhile: { summary: false, tasks: new Map() } });
}

function jobRead(draft: Draft, job: Job): void {
  const detail = draft.model.details.get(job.id);
  if (!detail) return;
  const { scene, scene_facts, video_file, tasks, ...summary } = job;
  const meanwhile = detail.meanwhile;
  if (!meanwhile?.summary) draft.jobs().set(job.id, summary);
  const merged = new Map(tasks.map((task) => [task.index, task]));
  for (const [index, task] of meanwhile?.tasks ?? []) merged.set(index, task);
  draft.details().set(job.id, {
    status: "ready",
    why: "",
    tasks: merged,
    // A file, once there, stays: the stream may have brought it after the read.
    scene: scene ?? detail.scene,
    scene_facts: scene_facts ?? detail.scene_facts,
    video_file: video_file ?? detail.video_file,
    meanwhile: null,
    stale: detail.stale,
  });
}

/** Copies a map the first time that a batch changes it, so that a batch costs one copy. */
class Draft {
  readonly model: Model;
  #copied = new Set<unknown>();

  constructor(before: Model) {
    this.model = { ...before };
  }

  forgetCopies(): void {
    // Maps that were replaced whole are ours already, and copying them again does no harm.
    this.#copied.clear();
  }

  jobs = (): Map<string, JobSummary> => (this.model.jobs = this.#own(this.model.jobs));
  nodes = (): Map<number, FarmNode> => (this.model.nodes = this.#own(this.model.nodes));
  details = (): Map<string, Detail> => (this.model.details = this.#own(this.model.details));
  progress = (): Map<string, TaskProgress> => (this.model.progress = this.#own(this.model.progress));

  tasks(job: string): Map<number, Task> {
    const detail = this.#detail(job);
    const tasks = this.#own(detail.tasks);
    if (tasks !== detail.tasks) this.details().set(job, { ...detail, tasks });
    return tasks;
  }

  meanwhileTasks(job: string): Map<number, Task> {
    const detail = this.#detail(job);
    const meanwhile = detail.meanwhile ?? { summary: false, tasks: new Map() };
    const tasks = this.#own(meanwhile.tasks);
    if (tasks !== meanwhile.tasks) this.details().set(job, { ...detail, meanwhile: { ...meanwhile, tasks } });
    return tasks;
  }

  #detail(job: string): Detail {
    return this.model.details.get(job) ?? BLANK;
  }

  #own<K, V>(map: ReadonlyMap<K, V>): Map<K, V> {
    if (this.#copied.has(map)) return map as Map<K, V>;
    const copy = new Map(map);
    this.#copied.add(copy);
    return copy;
  }
}
