// What the components look at: the model, the line's state, who is signed in, where we are.

import { account } from "./accountapi";
import { ApiProblem } from "./api";
import { Live, type Link } from "./live";
import { EMPTY, reduce, type Message, type Model } from "./model";
import { href, parseHash, type Route } from "./router";
import { takeCallbackError } from "./signin";
import type { User } from "./types";
import { uploads } from "./uploads.svelte";

/** Changes are shown in batches: a busy farm says far more than an eye takes in. */
const BATCH_MS = 50;
/** Who is connected never enters the log, so that no event tells it. */
const NODES_MS = 5_000;
const WHO_RETRY_MS = 2_000;

class Store {
  model = $state.raw<Model>(EMPTY);
  link = $state.raw<Link>({ state: "connecting" });
  /** `undefined` until this node has said who we are. */
  user = $state.raw<User | null | undefined>(undefined);
  route = $state.raw<Route>(parseHash(location.hash));
  now_ms = $state(Date.now());
  /** What a provider's callback says went wrong. */
  callback_error = $state<string | null>(null);
  live: Live | null = null;

  #queue: Message[] = [];
  #timers: ReturnType<typeof setInterval>[] = [];

  start(): void {
    const callback = takeCallbackError(new URL(location.href));
    if (callback) {
      this.callback_error = callback.code;
      history.replaceState(null, "", callback.clean);
    }
    window.addEventListener("hashchange", () => (this.route = parseHash(location.hash)));
    window.addEventListener("beforeunload", (event) => {
      // The browser asks whether to leave.
      if (uploads.busy) event.preventDefault();
    });
    setInterval(() => (this.now_ms = Date.now()), 1000);
    void this.#whoAreWe();
  }

  /** Asks this node who is signed in, and goes live if someone is. */
  async #whoAreWe(): Promise<void> {
    try {
      this.#goLive((await account.me()).user);
    } catch (error) {
      if (error instanceof ApiProblem && error.status === 401) {
        this.user = null;
        return;
      }
      this.link = { state: "cut", attempt: 1 };
      setTimeout(() => void this.#whoAreWe(), WHO_RETRY_MS);
    }
  }

  /** Somebody has signed in here. */
  signedIn(user: User): void {
    this.callback_error = null;
    this.#goLive(user);
  }

  #goLive(user: User): void {
    this.user = user;
    this.live = new Live({ take: (messages) => this.#take(messages), link: (link) => this.#linked(link) });
    void this.live.run();
    this.#timers.push(setInterval(() => this.#refreshNodes(), NODES_MS));
  }

  async signOut(): Promise<void> {
    await account.logout();
    this.#signedOut();
  }

  go(route: Route, how: "push" | "replace" = "push"): void {
    if (how === "push") {
      location.hash = href(route);
    } else {
      history.replaceState(null, "", href(route));
      this.route = route;
    }
  }

  get mayManage(): boolean {
    return this.user?.role === "admin" || this.user?.kind === "operator";
  }

  get maySubmit(): boolean {
    return this.user?.role !== "viewer";
  }

  nodeName(id: number | null): string {
    if (id === null) return "no node";
    return this.model.nodes.get(id)?.name ?? `node ${id}`;
  }

  #take(messages: Message[]): void {
    if (this.#queue.length === 0) setTimeout(() => this.#show(), BATCH_MS);
    this.#queue.push(...messages);
  }

  #show(): void {
    const messages = this.#queue;
    this.#queue = [];
    this.model = reduce(this.model, messages);
    if (messages.some((message) => message.kind === "leader")) this.#refreshNodes();
    for (const [id, detail] of this.model.details) {
      if (detail.stale && !detail.meanwhile) void this.live?.readJob(id);
    }
  }

  #linked(link: Link): void {
    if (link.state === "signed_out") this.#signedOut();
    else if (link.state !== this.link.state || link.state === "cut") this.link = link;
  }

  #refreshNodes(): void {
    if (document.hidden || this.link.state !== "live") return;
    // A node that does not answer is the stream's news.
    this.live?.readNodes().catch(() => undefined);
  }

  #signedOut(): void {
    uploads.pauseAll();
    this.live?.stop();
    this.live = null;
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    this.#queue = [];
    this.model = EMPTY;
    this.link = { state: "connecting" };
    this.user = null;
  }
}

export const store = new Store();
