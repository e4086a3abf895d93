import { expectAccessible } from "../axe.ts";
import { expect, signIn, test } from "./farm.ts";

test.describe("the list of jobs", () => {
  test.use({ settings: { MOCK_PAGE_SIZE: "2", MOCK_MANY: "30" } });

  test("is filtered, sorted and paged by the node", async ({ page, farm }) => {
    await signIn(page, farm.one);
    const rows = page.getByRole("list", { name: "Jobs" }).getByRole("listitem");
    await expect(rows).toHaveCount(2);
    await page.getByRole("button", { name: "Show more jobs" }).click();
    await expect(rows).toHaveCount(4);
    await expect(page.getByRole("button", { name: "Show more jobs" })).toHaveCount(0);

    await page.getByLabel("Order").selectOption("name");
    await expect(rows).toHaveCount(2);
    await expect(rows.first()).toContainText("bouncing disc");
    await page.getByLabel("Filter jobs").fill("lookdev");
    await expect(rows).toHaveCount(1);
    await expect(page).toHaveURL(/q=lookdev&sort=name/);
    await expectAccessible(page, "a filtered list");
    await page.getByLabel("Filter jobs").fill("");
    await page.getByRole("button", { name: /^failed/ }).click();
    await expect(rows).toHaveCount(1);
    await expect(rows).toContainText("kitchen");
    await page.getByRole("button", { name: /^failed/ }).click();
    await page.getByLabel("Whose jobs").selectOption("mine");
    await expect(rows).toHaveCount(2);
    await page.reload();
    await expect(page.getByLabel("Whose jobs")).toHaveValue("me");
    await page.getByLabel("Filter jobs").fill("nothing is called so");
    await expect(page.getByText("No job matches.")).toBeVisible();
    await page.getByRole("button", { name: "Show all" }).click();
    await expect(rows).toHaveCount(2);
  });
});

test.describe("a job", () => {
  test.beforeEach(({ page, farm }) => signIn(page, farm.one));

  test("is shared with people who are found by name", async ({ page }) => {
    await page.getByRole("link", { name: /bouncing disc/ }).click();
    await page.getByRole("button", { name: "Share…" }).click();
    const dialog = page.getByRole("dialog", { name: "Share bouncing disc" });
    const shared = dialog.getByRole("list", { name: "Shared with" });
    await expect(shared).toContainText("Only ada and admins see this job.");
    await dialog.getByLabel("Add somebody").fill("ada");
    await expect(dialog.getByText("Nobody else of this farm is called so.")).toBeVisible();
    await dialog.getByLabel("Add somebody").fill("be");
    await dialog.getByRole("button", { name: "Share with Bea" }).click();
    await expect(dialog.getByLabel("What Bea may do")).toHaveValue("view");
    await dialog.getByLabel("What Bea may do").selectOption("see and manage it");
    await expectAccessible(page, "the sharing of a job");
    await dialog.getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Share…" }).click();
    await expect(dialog.getByLabel("What Bea may do")).toHaveValue("manage");
    await dialog.getByRole("button", { name: "Remove Bea" }).click();
    await expect(shared).toContainText("Only ada");
  });

  test("shows each attempt of a frame with its log", async ({ page }) => {
    await page.getByRole("link", { name: /kitchen/ }).click();
    await page.getByRole("button", { name: /^Frame 7, failed/ }).click();
    const dialog = page.getByRole("dialog", { name: "Frame 7" });
    await dialog.getByRole("button", { name: "Attempts and log" }).click();
    const attempts = dialog.getByRole("list", { name: "Attempts" }).getByRole("listitem");
    await expect(attempts).toHaveCount(3);
    await expect(attempts.first()).toContainText("failed after 9.0 s");
    const log = dialog.getByRole("log", { name: "Log lines" });
    await expect(log).toContainText("Error: Blender was killed by signal 9");
    await expect(log).not.toContainText("attempt 3 at kitchen");
    await dialog.getByRole("button", { name: "All", exact: true }).click();
    await expect(log).toContainText("attempt 3 at kitchen");
    await dialog.getByLabel("Find in the log").fill("error");
    await expect(dialog.getByText("1 line", { exact: true })).toBeVisible();
    await expectAccessible(page, "a log");
    // Keys that are typed into the search stay there.
    await dialog.getByLabel("Find in the log").press("k");
    await expect(dialog).toBeVisible();
    await attempts.nth(2).getByRole("button").click();
    await expect(log).toContainText("Sample 260/260");
  });

  test("offers all of its frames in one file, and shows previews of them", async ({ page }) => {
    await page.getByRole("link", { name: /bouncing disc/ }).click();
    await expect(page.locator('ul[aria-label="Frames"] img').first()).toHaveAttribute("src", /\/preview\?width=320$/);
    await page.getByText(/^Downloads:/).click();
    for (const format of ["zip", "tar"]) {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("link", { name: `All frames, ${format}` }).click(),
      ]);
      expect(await download.failure()).toBeNull();
      expect(download.suggestedFilename()).toBe(`bouncing_disc.${format}`);
    }
  });

  test("goes on living when the farm says something new", async ({ page, farm }) => {
    await page.getByRole("link", { name: /bouncing disc/ }).click();
    await farm.make("novelty");
    await farm.make("elect?node=2");
    await expect(page.getByRole("banner")).toContainText("cellar leads");
  });
});

test.describe("a running frame", () => {
  test.use({ settings: { MOCK_FRAME_MS: "8000" } });

  test("has a log that is followed until the attempt ends", async ({ page, farm }) => {
    await signIn(page, farm.one);
    await page.getByRole("button", { name: "New job" }).click();
    const form = page.getByRole("form", { name: "New job" });
    await form.getByLabel("Scene file").setInputFiles({ name: "short.blend", mimeType: "", buffer: Buffer.from(`BLENDER-v405${"x".repeat(90)}`) });
    await form.getByLabel("Frames", { exact: true }).fill("1-3");
    await form.getByRole("button", { name: "Render" }).click();
    await page.getByRole("button", { name: /^Frame 2, rendering/ }).click();
    const dialog = page.getByRole("dialog", { name: "Frame 2" });
    await dialog.getByRole("button", { name: "Attempts and log" }).click();
    const log = dialog.getByRole("log", { name: "Log lines" });
    await expect(dialog.getByText("following; new lines appear by themselves")).toBeVisible();
    await expect(log).toContainText("followed line 3");
    await dialog.getByLabel("Follow").uncheck();
    await expect(log).not.toContainText("followed line");
    await dialog.getByLabel("Follow").check();
    await expect(log).toContainText("Saved: the frame", { timeout: 20_000 });
    await expect(dialog.getByRole("list", { name: "Attempts" })).toContainText("done after");
  });
});
