import { createHash } from "node:crypto";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expectAccessible } from "../axe.ts";
import { expect, scene, signIn, test as base, type MockFarm } from "./farm.ts";

const BYTES = 24 * 2 ** 20;
const SLOW = "slow?bytes_per_s=6000000";
const QUICK = "slow?bytes_per_s=0";

/** A large scene on disk: the same file can be chosen again after a reload. */
const test = base.extend<{ large: { path: string; sha256: string } }>({
  large: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), "jiggablend-e2e-"));
    const path = join(folder, "large.blend");
    const bytes = scene(BYTES);
    await writeFile(path, bytes);
    await use({ path, sha256: createHash("sha256").update(bytes).digest("hex") });
    await rm(folder, { recursive: true });
  },
});

/** Begins to send the scene, slowly, and waits until some of it is there. */
async function begin(page: Page, farm: MockFarm, path: string): Promise<string> {
  await signIn(page, farm.one);
  await farm.make(SLOW);
  await page.getByRole("button", { name: "New job" }).click();
  const form = page.getByRole("form", { name: "New job" });
  await form.getByLabel("Scene file").setInputFiles(path);
  await form.getByLabel("Frames", { exact: true }).fill("1-2");
  await form.getByRole("button", { name: "Render" }).click();
  await expect(page).toHaveURL(/#\/jobs\/[\w-]+\?upload=[\w-]+&file=large\.blend&/);
  await expect(page.getByText(/^[1-9]\d? %, /)).toBeVisible();
  return /jobs\/([\w-]+)/.exec(page.url())?.[1] ?? "";
}

/** What arrived is what was sent, to the last byte. */
async function expectWhole(page: Page, farm: MockFarm, job: string, sha256: string): Promise<void> {
  await expect(page.getByTestId("job-state")).not.toHaveText("waiting for its scene file", { timeout: 30_000 });
  const scene_file = await page.evaluate(async (id) => (await (await fetch(`/api/jobs/${id}`)).json()).scene.id as string, job);
  expect(await farm.make(`file?id=${scene_file}`)).toEqual({ sha256 });
  await expect(page).toHaveURL(new RegExp(`#/jobs/${job}`));
}

/** Counts what goes over the wire again. */
function sentBytes(page: Page): { count: number; offsets: number[] } {
  const sent = { count: 0, offsets: [] as number[] };
  page.on("request", (request) => {
    if (request.method() !== "PATCH") return;
    sent.count += 1;
    sent.offsets.push(Number(request.headers()["upload-offset"]));
  });
  return sent;
}

test("an upload says how quick it is, pauses and resumes", async ({ page, farm, large }) => {
  const job = await begin(page, farm, large.path);
  await expect(page.getByText(/\/s/).first()).toBeVisible();
  await expect(page.getByText(/ left$/).first()).toBeVisible();
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByText("paused", { exact: false }).first()).toBeVisible();
  await expectAccessible(page, "a paused upload");
  const sent = sentBytes(page);
  await farm.make(QUICK);
  await page.getByRole("button", { name: "Resume" }).click();
  await expectWhole(page, farm, job, large.sha256);
  expect(sent.offsets[0]).toBeGreaterThan(0);
});

test("an upload goes on by itself after the node was away", async ({ page, farm, large }) => {
  const job = await begin(page, farm, large.path);
  const sent = sentBytes(page);
  await farm.make("cut?ms=2500");
  await expect(page.getByText("cut, trying again; it goes on where it stopped")).toBeVisible();
  await farm.make(QUICK);
  await expectWhole(page, farm, job, large.sha256);
  expect(sent.offsets.at(-1)).toBeGreaterThan(0);
});

test("an upload goes on after a reload, when the same file is chosen again", async ({ page, farm, large }) => {
  const job = await begin(page, farm, large.path);
  page.on("dialog", (dialog) => dialog.accept());
  await page.reload();
  await expect(page.getByText("An upload of large.blend was cut short.")).toBeVisible();
  await expectAccessible(page, "an upload that was cut short");
  const sent = sentBytes(page);
  await farm.make(QUICK);
  await page.getByLabel("Scene file", { exact: true }).last().setInputFiles(large.path);
  await expectWhole(page, farm, job, large.sha256);
  expect(sent.offsets[0]).toBeGreaterThan(0);
});

test("an upload goes on through another node's page", async ({ page, farm, large }) => {
  const job = await begin(page, farm, large.path);
  const there = page.url().replace(farm.one, farm.two);
  await page.getByRole("button", { name: "Pause" }).click();
  page.on("dialog", (dialog) => dialog.accept());
  // Another origin: nothing but the address says which upload it was.
  await page.goto(there);
  await expect(page.getByText("An upload of large.blend was cut short.")).toBeVisible();
  const sent = sentBytes(page);
  await farm.make(QUICK);
  await page.getByLabel("Scene file", { exact: true }).last().setInputFiles(large.path);
  await expectWhole(page, farm, job, large.sha256);
  expect(sent.offsets[0]).toBeGreaterThan(0);
});

test("a file that was changed meanwhile is sent from its beginning, never mixed", async ({ page, farm, large }) => {
  const job = await begin(page, farm, large.path);
  page.on("dialog", (dialog) => dialog.accept());
  await page.reload();
  await expect(page.getByText("An upload of large.blend was cut short.")).toBeVisible();
  const other = scene(BYTES);
  other.fill("changed", 100, 2_000);
  await writeFile(large.path, other);
  await utimes(large.path, new Date(), new Date(Date.now() + 60_000));
  const sent = sentBytes(page);
  await farm.make(QUICK);
  await page.getByLabel("Scene file", { exact: true }).last().setInputFiles(large.path);
  await expectWhole(page, farm, job, createHash("sha256").update(other).digest("hex"));
  expect(sent.offsets[0]).toBe(0);
});

test("a scene that the node refuses can be replaced, and the reason stands there", async ({ page, farm }) => {
  await signIn(page, farm.one);
  await page.getByRole("button", { name: "New job" }).click();
  const form = page.getByRole("form", { name: "New job" });
  await form.getByLabel("Scene file").setInputFiles({ name: "cut.blend", mimeType: "", buffer: Buffer.from("BLENDER-v405") });
  await form.getByRole("button", { name: "Render" }).click();
  await expect(page.getByRole("alert")).toContainText("cut.blend ends in the middle");
  await expectAccessible(page, "a refused scene");
  await page.getByLabel("Scene file", { exact: true }).last().setInputFiles({ name: "whole.blend", mimeType: "", buffer: scene(4096) });
  await expect(page.getByTestId("job-state")).not.toHaveText("waiting for its scene file");
});

test("an upload goes on while one looks at other pages, and the browser asks before it is left", async ({ page, farm, large }) => {
  const job = await begin(page, farm, large.path);
  await page.getByRole("link", { name: "Jobs", exact: true }).click();
  await expect(page.getByText(/^Upload: \d+ %$/)).toBeVisible();
  const asked = page.waitForEvent("dialog");
  void page.close({ runBeforeUnload: true });
  const dialog = await asked;
  expect(dialog.type()).toBe("beforeunload");
  await dialog.dismiss();
  await farm.make(QUICK);
  await page.goto(`${farm.one}/#/jobs/${job}`);
  await expectWhole(page, farm, job, large.sha256);
});

test("a scene that could not be kept at its end is not called done before it is", async ({ page, farm, large }) => {
  const job = await begin(page, farm, large.path);
  await farm.make("fail_ends?times=2");
  await farm.make(QUICK);
  const asked = sentBytes(page);
  await expectWhole(page, farm, job, large.sha256);
  expect(asked.offsets.filter((offset) => offset === BYTES)).toHaveLength(2);
});

test("stopping drops what was sent, and the job still takes a scene", async ({ page, farm, large }) => {
  const job = await begin(page, farm, large.path);
  const [dropped] = await Promise.all([
    page.waitForRequest((request) => request.method() === "DELETE" && request.url().includes(`/api/jobs/${job}/uploads/`)),
    page.getByRole("button", { name: "Stop" }).click(),
  ]);
  expect((await dropped.response())?.status()).toBe(204);
  await expect(page.getByText("Drop the .blend here, or choose it")).toBeVisible();
});
