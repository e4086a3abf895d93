import { expectAccessible } from "../axe.ts";
import { expect, signIn, test } from "./farm.ts";

test.beforeEach(async ({ page, farm }) => {
  await signIn(page, farm.one);
  await page.keyboard.press("g");
  await page.keyboard.press("a");
  await expect(page.getByRole("heading", { name: "Your account", level: 1 })).toBeVisible();
});

test("the account says who one is and how much is used", async ({ page }) => {
  await expect(page.getByText("ada@example.org").last()).toBeVisible();
  await expect(page.getByRole("meter", { name: "Storage: 12.5 GiB of 50.0 GiB" })).toBeVisible();
  await expect(page.getByText("3, no limit")).toBeVisible();
  await expectAccessible(page, "the account");
});

test("identities are linked and unlinked, but never the last way to sign in", async ({ page }) => {
  await page.getByRole("link", { name: "Link Google" }).click();
  await expect(page.getByRole("button", { name: "Unlink Google" })).toBeVisible();
  await page.getByRole("button", { name: "Unlink Discord" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Unlink" }).click();
  await expect(page.getByRole("link", { name: "Link Discord" })).toBeVisible();
  await expect(page.getByRole("dialog")).toHaveCount(0);
  // Somebody else has it: the callback comes back with that, to a page that is signed in.
  await page.getByRole("link", { name: "Link Discord" }).click();
  await expect(page.getByRole("alert")).toContainText("belongs to another user of this farm");
  await page.getByRole("button", { name: "Dismiss" }).click();
  await expect(page.getByRole("alert")).toHaveCount(0);
});

test("the password changes, and the other sessions end with it", async ({ page }) => {
  const sessions = page.getByRole("list", { name: "Sessions" }).getByRole("listitem");
  await expect(sessions).toHaveCount(2);
  await page.getByLabel("Current password").fill("wrong one");
  await page.getByLabel("New password").fill("new and longer");
  await page.getByRole("button", { name: "Change it" }).click();
  await expect(page.getByRole("alert")).toContainText("the current password is wrong");
  await page.getByLabel("Current password").fill("render-me");
  await page.getByRole("button", { name: "Change it" }).click();
  await expect(page.getByText("your other sessions have ended")).toBeVisible();
  await page.reload();
  await expect(sessions).toHaveCount(1);
});

test("one session ends, or all others", async ({ page }) => {
  const sessions = page.getByRole("list", { name: "Sessions" }).getByRole("listitem");
  await expect(sessions.filter({ hasText: "this one" })).toHaveCount(1);
  await page.getByRole("button", { name: "End the session of Firefox on Linux at 192.168.1.20" }).click();
  await expect(sessions).toHaveCount(1);
  await expect(page.getByRole("button", { name: "End all others" })).toHaveCount(0);
});

test("a token is shown once, can be copied, and is revoked", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const form = page.getByRole("form", { name: "New token" });
  await form.getByLabel("Name").fill("nightly");
  await form.getByLabel(/make, change and cancel/).check();
  await form.getByLabel("Good for").selectOption("30 days");
  await form.getByRole("button", { name: "Make a token" }).click();
  const once = page.getByRole("group", { name: "The token “nightly”." });
  const token = await once.locator("pre").innerText();
  expect(token).toMatch(/^jbt_\w{40,}$/);
  await once.getByRole("button", { name: "Copy" }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(token);
  await expectAccessible(page, "a new token");
  await once.getByRole("button", { name: "Done" }).click();
  await expect(page.getByText(token)).toHaveCount(0);
  const listed = page.getByRole("list", { name: "API tokens" });
  await expect(listed).toContainText("read, jobs");
  await expect(listed).toContainText("expires in 30 d");
  await page.getByRole("button", { name: "Revoke nightly" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(listed).toContainText("You have no token.");
});

test("a webhook is made, tested, changed and deleted", async ({ page }) => {
  await page.getByRole("button", { name: "New webhook" }).click();
  const form = page.getByRole("form", { name: "New webhook" });
  await form.getByLabel("Name").fill("studio chat");
  await form.getByLabel("Address").fill("https://127.0.0.1/hook");
  await form.getByLabel("Speaks").selectOption("Discord");
  await expect(form.getByLabel("a node joins")).toHaveCount(0);
  await form.getByLabel(/Everybody's jobs/).check();
  await form.getByLabel("a node joins").check();
  await form.getByRole("button", { name: "Make the webhook" }).click();
  await expect(form.getByRole("alert")).toContainText("an address of the farm's own network");
  await form.getByLabel("Address").fill("https://chat.example.org/hook");
  await form.getByRole("button", { name: "Make the webhook" }).click();
  await expect(page.getByRole("group", { name: "The signing secret of “studio chat”." })).toBeVisible();

  await page.getByRole("button", { name: "Test studio chat" }).click();
  await expect(page.getByRole("list", { name: "Deliveries of studio chat" })).toContainText("delivered (204)");
  await page.getByRole("button", { name: "Edit studio chat" }).click();
  const edit = page.getByRole("form", { name: "Webhook studio chat" });
  await edit.getByLabel("Enabled").uncheck();
  await expectAccessible(page, "a webhook");
  await edit.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("list", { name: "Webhooks" }).getByText("off", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Delete studio chat" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("list", { name: "Webhooks" })).toContainText("None yet");
});
