// What the components show of the store, in a DOM without a browser.

import { flushSync, mount, unmount, type Component } from "svelte";
import { afterEach, describe, expect, it, vi } from "vitest";
import { aFarm, aNode, NONE } from "../lib/fixtures";
import { EMPTY, reduce } from "../lib/model";
import { store } from "../lib/store.svelte";
import SignIn from "../routes/SignIn.svelte";
import CutBanner from "./CutBanner.svelte";
import StackedBar from "./StackedBar.svelte";

let shown: Record<string, unknown> | null = null;

// The props' types are each component's own; here they only pass through.
function show<P extends Record<string, unknown>>(component: Component<P>, props: P): HTMLElement {
  shown = mount(component, { target: document.body, props });
  flushSync();
  return document.body;
}

afterEach(async () => {
  if (shown) await unmount(shown);
  shown = null;
  document.body.replaceChildren();
  vi.unstubAllGlobals();
});

describe("a stacked bar", () => {
  it("says in words what it shows in colours", () => {
    const body = show(StackedBar, { counts: { ...NONE, done: 3, leased: 2, failed: 1 }, rendering: 1 });
    expect(body.querySelector('[role="img"]')?.getAttribute("aria-label")).toBe("3 of 6 frames done, 1 rendering, 1 queued, 1 failed");
    const legend = [...body.querySelectorAll(".legend li")].map((entry) => entry.textContent?.trim());
    expect(legend).toEqual(["3 done", "1 rendering", "1 queued", "1 failed"]);
  });
});

describe("the banner of a cut stream", () => {
  it("links to the other nodes' pages, at the same place, and to nothing that is no web address", () => {
    store.model = reduce(EMPTY, [{
      kind: "snapshot", farm: aFarm(), jobs: [], cursor: null,
      nodes: [aNode(1, { is_this_node: true }), aNode(2), aNode(3, { web_address: "javascript:alert(1)" })],
    }]);
    store.route = { page: "nodes" };
    store.link = { state: "cut", attempt: 2 };
    const body = show(CutBanner, {});
    expect(body.textContent).toContain("This node does not answer; trying again…");
    expect([...body.querySelectorAll("a")].map((link) => link.getAttribute("href"))).toEqual(["http://localhost:8082/#/nodes"]);
    store.link = { state: "live" };
    flushSync();
    expect(body.textContent).not.toContain("does not answer");
  });
});

describe("signing in", () => {
  it("says that the password is wrong, and keeps the address", async () => {
    vi.stubGlobal("fetch", async (path: string) =>
      path === "/api/auth/providers"
        ? Response.json({ local: true, registration: "closed" })
        : Response.json({ type: "urn:jiggablend:problem:wrong-credentials", title: "", status: 401, detail: "no" }, { status: 401 }),
    );
    const body = show(SignIn, {});
    const email = body.querySelector<HTMLInputElement>("#email");
    if (!email) throw new Error("there is no field for the address");
    email.value = "ada@example.org";
    email.dispatchEvent(new Event("input", { bubbles: true }));
    body.querySelector("form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
    await vi.waitFor(() => expect(body.querySelector('[role="alert"]')?.textContent).toBe("The e-mail address or the password is wrong."));
    expect(email.value).toBe("ada@example.org");
    expect(store.user).toBeUndefined();
  });
});
