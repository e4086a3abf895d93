import { describe, expect, it } from "vitest";
import { Action, Resource } from "./resource.svelte";

describe("a resource", () => {
  it("keeps the old value until the new one is here, and after a failure", async () => {
    const answers = [() => "first", () => { throw new Error("gone"); }, () => "second"];
    const resource = new Resource(async () => answers.shift()?.());
    await resource.load();
    expect([resource.value, resource.wrong]).toEqual(["first", ""]);
    await resource.load();
    expect([resource.value, resource.wrong]).toEqual(["first", "gone"]);
    await resource.load();
    expect([resource.value, resource.wrong, resource.loading]).toEqual(["second", "", false]);
  });

  it("does not let an answer that was overtaken win", async () => {
    const waiting: ((value: string) => void)[] = [];
    const resource = new Resource(() => new Promise<string>((resolve) => waiting.push(resolve)));
    const loads = [resource.load(), resource.load()];
    waiting[1]?.("new");
    waiting[0]?.("old");
    await Promise.all(loads);
    expect(resource.value).toBe("new");
  });
});

describe("an action", () => {
  it("runs one at a time, and says why it failed", async () => {
    const action = new Action();
    let finish = (): void => undefined;
    const first = action.run(() => new Promise<void>((resolve) => (finish = resolve)));
    expect(action.busy).toBe(true);
    expect(await action.run(async () => undefined)).toBe(false);
    finish();
    expect(await first).toBe(true);
    expect(await action.run(() => Promise.reject(new Error("no leader")))).toBe(false);
    expect([action.wrong, action.busy]).toEqual(["no leader", false]);
    expect(await action.run(async () => undefined)).toBe(true);
    expect(action.wrong).toBe("");
  });
});
