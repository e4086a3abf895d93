// A user's first render, on a real farm of three nodes.
//
// BASE_URL: a node's web address. JIGGABLEND_E2E_EMAIL and JIGGABLEND_E2E_PASSWORD: an account that
// may submit. JIGGABLEND_E2E_SCENE: a short .blend. JIGGABLEND_E2E_FRAMES: its frames (1-6), so that
// a long scene makes a short test.

import { expect, test, type Page } from "@playwright/test";
import { expectAccessible } from "./axe.ts";

const RENDER_MS = 8 * 60_000;

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; see the head of farm.spec.ts`);
  return value;
}

async function signIn(page: Page, password: string): Promise<void> {
  await page.getByLabel("E-mail address").fill(setting("JIGGABLEND_E2E_EMAIL"));
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

interface Watching {
  pictures_before_the_end: number;
}

/** Notes, inside the page, how many pictures are shown while the job still runs. */
async function watchPictures(page: Page): Promise<void> {
  await page.evaluate(() => {
    const watching = window as unknown as Watching;
    watching.pictures_before_the_end = 0;
    const look = (): void => {
      const state = document.querySelector('[data-testid="job-state"]')?.textContent?.trim();
      const pictures = document.querySelectorAll('ul[aria-label="Frames"] img').length;
      if (state !== "done") watching.pictures_before_the_end = Math.max(watching.pictures_before_the_end, pictures);
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true });
  });
}

/** What the browser complains of: broken scripts, and what the security policy had to block. */
function complaints(page: Page): string[] {
  const heard: string[] = [];
  page.on("pageerror", (error) => heard.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) heard.push(message.text());
  });
  return heard;
}

test("a scene goes in through the page, and its frames and its video come out", async ({ page }) => {
  const frames = process.env.JIGGABLEND_E2E_FRAMES ?? "1-6";
  const [first, last] = frames.split("-").map(Number) as [number, number];
  const count = last - first + 1;
  const heard = complaints(page);

  await test.step("a wrong password is told as such", async () => {
    await page.goto("/");
    await signIn(page, "not the password");
    await expect(page.getByRole("alert")).toHaveText("The e-mail address or the password is wrong.");
    await expectAccessible(page, "the sign-in page");
  });

  await test.step("the right one signs in", async () => {
    await signIn(page, setting("JIGGABLEND_E2E_PASSWORD"));
    await expect(page.getByRole("heading", { name: "Jobs", level: 1 })).toBeVisible();
    await expect(page.getByRole("banner")).toContainText("3 nodes");
    await expect(page.getByRole("banner")).toContainText("leads");
  });

  const form = page.getByRole("form", { name: "New job" });
  await test.step("what is not a .blend is refused beside the field", async () => {
    const opener = page.getByRole("button", { name: "New job" });
    // A farm without jobs shows the form by itself.
    await expect(opener.or(form).first()).toBeVisible();
    if (await opener.isVisible()) await opener.click();
    await form.getByLabel("Scene file").setInputFiles({ name: "cat.blend", mimeType: "", buffer: Buffer.from("a cat, not a scene") });
    await expect(form.getByRole("alert")).toContainText("cat.blend is not a .blend file");
    await form.getByLabel("Frames", { exact: true }).fill("9-3");
    await expect(form.getByText("the range 9-3 is reversed; write 3-9")).toBeVisible();
  });

  await test.step("a scene is dropped, named and sent", async () => {
    await form.getByLabel("Scene file").setInputFiles(setting("JIGGABLEND_E2E_SCENE"));
    await form.getByLabel("Name", { exact: true }).fill("through the page");
    await form.getByLabel("Frames", { exact: true }).fill(frames);
    await expect(form.getByText(`${count} frame`)).toBeVisible();
    await expectAccessible(page, "the job list");
    await form.getByRole("button", { name: "Render" }).click();
    await expect(page.getByRole("heading", { name: "through the page", level: 1 })).toBeVisible({ timeout: 60_000 });
  });

  const tiles = page.getByRole("list", { name: "Frames", exact: true });
  await test.step("frames appear one by one, without a reload, until the job is done", async () => {
    await watchPictures(page);
    await expect(tiles.getByRole("listitem")).toHaveCount(count, { timeout: RENDER_MS });
    await expect(tiles.locator("img").first()).toBeVisible({ timeout: RENDER_MS });
    await expect(page.getByTestId("job-state")).toHaveText("done", { timeout: RENDER_MS });
    await expect(tiles.getByRole("button", { name: /, done/ })).toHaveCount(count);
    await expect
      .poll(() => tiles.locator("img").evaluateAll((images) => (images as HTMLImageElement[]).filter((image) => image.naturalWidth > 0).length))
      .toBe(count);
    // Gone after a reload, 0 if all pictures had come at the end.
    expect(await page.evaluate(() => (window as unknown as Watching).pictures_before_the_end)).toBeGreaterThan(0);
  });

  await test.step("the video plays", async () => {
    const video = page.locator("video");
    await expect(video).toBeVisible({ timeout: RENDER_MS });
    await video.evaluate(async (element: HTMLVideoElement) => {
      element.muted = true;
      await element.play();
    });
    await expect.poll(() => video.evaluate((element: HTMLVideoElement) => element.currentTime)).toBeGreaterThan(0);
    await video.evaluate((element: HTMLVideoElement) => element.pause());
    await expectAccessible(page, "a job");
  });

  await test.step("a frame opens large, and the keys go on to the next", async () => {
    await tiles.getByRole("button", { name: new RegExp(`^Frame ${first},`) }).click();
    await expect(page.getByRole("dialog", { name: `Frame ${first}` })).toBeVisible();
    await expectAccessible(page, "a frame");
    if (count > 1) {
      await page.keyboard.press("ArrowRight");
      await expect(page.getByRole("dialog", { name: `Frame ${first + 1}` })).toBeVisible();
    }
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("dialog").getByRole("link", { name: "Download" }).click(),
    ]);
    expect(await download.failure()).toBeNull();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toHaveCount(0);
  });

  await test.step("g n goes to the nodes: three, and one of them leads", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("n");
    await expect(page.getByRole("heading", { name: "Nodes", level: 1 })).toBeVisible();
    const nodes = page.getByRole("list", { name: "Nodes", exact: true }).locator("> li");
    await expect(nodes).toHaveCount(3);
    await expect(nodes.getByText("leader", { exact: true })).toHaveCount(1);
    await expect(nodes.getByText("this node", { exact: true })).toHaveCount(1);
    await expectAccessible(page, "the nodes");
    await page.keyboard.press("?");
    await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
    await page.keyboard.press("Escape");
  });

  await test.step("signing out ends the session", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await expect(page.getByRole("heading", { name: "Sign in to JiggaBlend" })).toBeVisible();
    expect(await page.evaluate(async () => (await fetch("/api/auth/me")).status)).toBe(401);
  });

  expect(heard).toEqual([]);
});
