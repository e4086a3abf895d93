import { expectAccessible } from "../axe.ts";
import { expect, signIn, test } from "./farm.ts";

test.beforeEach(({ page, farm }) => signIn(page, farm.one));

test("users are made, changed, limited and deleted; the last admin stays one", async ({ page }) => {
  await page.getByRole("link", { name: "Admin" }).click();
  const users = page.getByRole("list", { name: "Users" });
  await expect(users.getByRole("listitem")).toHaveCount(3);
  await page.getByRole("button", { name: "New user" }).click();
  const form = page.getByRole("form", { name: "New user" });
  await form.getByLabel("E-mail address").fill("bea@example.org");
  await form.getByLabel("Password").fill("correct horse");
  await form.getByRole("button", { name: "Make the user" }).click();
  await expect(form.getByRole("alert")).toContainText("there is an account of bea@example.org already");
  await form.getByLabel("E-mail address").fill("fay@example.org");
  await form.getByLabel("Name").fill("Fay");
  await form.getByRole("button", { name: "Make the user" }).click();
  await expect(users.getByRole("listitem")).toHaveCount(4);

  await page.getByLabel("Role of ada").selectOption("member");
  await expect(users.getByRole("alert")).toContainText("ada is the farm's last admin");
  await expect(page.getByLabel("Role of ada")).toHaveValue("admin");
  await page.getByLabel("Role of Fay").selectOption("admin");
  await expect(page.getByLabel("Role of Fay")).toHaveValue("admin");

  await page.getByRole("button", { name: "Limits of Fay" }).click();
  const limits = page.getByRole("form", { name: "Limits of Fay" });
  await limits.getByLabel("Storage, GiB").fill("20");
  await limits.getByLabel("Jobs under way").fill("many");
  await limits.getByRole("button", { name: "Save" }).click();
  await expect(users.getByRole("alert").last()).toContainText("the limit for jobs must be a number");
  await limits.getByLabel("Jobs under way").fill("3");
  await expectAccessible(page, "the users");
  await limits.getByRole("button", { name: "Save" }).click();
  await expect(users).toContainText("storage 12.5 GiB of 20.0 GiB");

  await page.getByRole("button", { name: "Disable Fay" }).click();
  await expect(page.getByRole("button", { name: "Enable Fay" })).toBeVisible();
  await page.getByRole("button", { name: "Delete Fay" }).click();
  await page.getByRole("dialog", { name: "Delete Fay?" }).getByRole("button", { name: "Delete the account" }).click();
  await expect(users.getByRole("listitem")).toHaveCount(3);
  await page.getByLabel("Filter users").fill("bea");
  await expect(users.getByRole("listitem")).toHaveCount(1);
});

test("an invitation is revoked", async ({ page, farm }) => {
  await page.goto(`${farm.one}/#/admin/invitations`);
  await page.getByLabel("Only for").fill("gus@example.org");
  await page.getByRole("button", { name: "Make an invitation" }).click();
  const list = page.getByRole("list", { name: "Invitations" });
  await expect(list).toContainText("member for gus@example.org");
  await page.getByRole("button", { name: "Revoke the invitation of a member for gus@example.org" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(list).toContainText("No invitation is open.");
  await expect(page.getByRole("group", { name: "The invitation's link." })).toHaveCount(0);
});

test("a registration token comes with the line to run, once", async ({ page, farm }) => {
  await page.goto(`${farm.one}/#/admin/runners`);
  await expect(page.getByRole("list", { name: "Runners" })).toContainText("render-box only HTTP");
  await page.getByLabel("Name").fill("render boxes");
  await page.getByLabel("For more than one machine").check();
  await page.getByRole("button", { name: "Make a registration token" }).click();
  const line = page.getByRole("group", { name: "Run this on the new machine." }).locator("pre");
  await expect(line).toHaveText(new RegExp(`^jiggablend node join --http ${farm.one} --token jbg_\\w+$`));
  await expectAccessible(page, "the runners");
  await page.reload();
  await expect(page.getByRole("list", { name: "Registration tokens" })).toContainText("render boxes");
  await expect(line).toHaveCount(0);
  await page.getByRole("button", { name: "Revoke render boxes" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(page.getByRole("list", { name: "Registration tokens" })).toContainText("There is none.");
});

test("a ticket that was made is listed, and revoked", async ({ page, farm }) => {
  await page.goto(`${farm.one}/#/nodes`);
  await page.getByRole("button", { name: "Make a ticket" }).click();
  await expect(page.getByText("jiggablend node join jigga1")).toBeVisible();
  await page.goto(`${farm.one}/#/admin/tickets`);
  const tickets = page.getByRole("list", { name: "Tickets" });
  await expect(tickets).toContainText("runner, may vote, once");
  await expectAccessible(page, "the tickets");
  await tickets.getByRole("button", { name: /^Revoke the ticket/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(tickets).toContainText("No ticket is open.");
});

test("settings are saved for the whole farm", async ({ page, farm }) => {
  await page.goto(`${farm.one}/#/admin/settings`);
  await page.getByLabel("New accounts", { exact: true }).selectOption("closed");
  await page.getByLabel("Storage, GiB").fill("-1");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("alert")).toContainText("the limit for storage must be a number");
  await page.getByLabel("Storage, GiB").fill("1.5");
  await expectAccessible(page, "the settings");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("Saved, on every node.")).toBeVisible();
  await page.goto(`${farm.two}/#/admin/settings`);
  await expect(page.getByLabel("New accounts", { exact: true })).toHaveValue("closed");
  await expect(page.getByLabel("Storage, GiB")).toHaveValue("1.5");
});

test("the audit log is filtered, and read page by page", async ({ page, farm }) => {
  await page.goto(`${farm.one}/#/admin/audit`);
  const rows = page.getByRole("region", { name: "Audit log" }).locator("tbody tr");
  await expect(rows).toHaveCount(100);
  await page.getByRole("button", { name: "Show older entries" }).click();
  await expect(rows).toHaveCount(200);
  await page.getByRole("button", { name: "Show older entries" }).click();
  await expect(rows).toHaveCount(230);
  await expect(page.getByRole("button", { name: "Show older entries" })).toHaveCount(0);
  await expectAccessible(page, "the audit log");
  await rows.getByRole("button", { name: "Bea" }).first().click();
  await expect(rows).toHaveCount(77);
  await page.getByLabel("Action", { exact: true }).fill("session_created");
  await page.getByRole("button", { name: "Filter" }).click();
  await expect(rows).toHaveCount(38);
});

test("a node is removed only after its name was written", async ({ page, farm }) => {
  await page.goto(`${farm.one}/#/nodes`);
  await expect(page.getByRole("button", { name: "Remove attic" })).toHaveCount(0);
  await expect(page.getByText("It leads: to remove it, stop it first")).toBeVisible();
  await page.getByRole("button", { name: "Remove studio-mac" }).click();
  const dialog = page.getByRole("dialog", { name: "Remove studio-mac from the farm?" });
  await expect(dialog).toContainText("with it gone, 2 voters are left");
  await expect(dialog.getByRole("button", { name: "Remove it" })).toBeDisabled();
  await expectAccessible(page, "the removal of a node");
  await dialog.getByLabel("Write studio-mac to go on").fill("studio-mac");
  await dialog.getByRole("button", { name: "Remove it" }).click();
  await expect(page.getByRole("list", { name: "Nodes", exact: true }).locator("> li")).toHaveCount(2);
});

test("who is no admin finds no administration", async ({ page, farm }) => {
  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, `${farm.one}/#/admin/users`, "bea@example.org", "a few words more");
  await expect(page.getByRole("heading", { name: "There is no such page" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Admin" })).toHaveCount(0);
});
