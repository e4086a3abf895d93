import { expectAccessible } from "../axe.ts";
import { expect, signIn, test } from "./farm.ts";

test("a provider signs in with a plain link, and comes back to the same place", async ({ page, farm }) => {
  await signIn(page, farm.one);
  await page.goto(`${farm.one}/#/account`);
  await page.getByRole("link", { name: "Link Google" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.goto(`${farm.one}/#/nodes`);
  await page.getByRole("link", { name: "Continue with Google" }).click();
  await expect(page.getByRole("heading", { name: "Nodes", level: 1 })).toBeVisible();
});

test("what went wrong at a provider is said in words", async ({ page, farm }) => {
  await page.goto(`${farm.one}/#/nodes`);
  // Nobody has Google's account yet, and the farm wants an invitation.
  await page.getByRole("link", { name: "Continue with Google" }).click();
  await expect(page.getByRole("alert")).toContainText("This farm takes no such account");
  expect(page.url()).not.toContain("error=");
  await page.getByRole("link", { name: "Continue with Discord" }).click();
  await expect(page.getByRole("alert")).toContainText("refused or stopped there");
  await expectAccessible(page, "the sign-in page with an error");
});

test.describe("on a new farm", () => {
  test.use({ settings: { MOCK_NO_ACCOUNT: "1" } });

  test("the first account of a farm becomes its admin", async ({ page, farm }) => {
    await page.goto(farm.one);
    await expect(page.getByText("This farm has no account yet; the first one is its admin.")).toBeVisible();
    await expectAccessible(page, "the first account");
    await page.getByLabel("Name").fill("Grace");
    await page.getByLabel("E-mail address").fill("grace@example.org");
    await page.getByLabel("Password").fill("a ship's clock");
    await page.getByRole("button", { name: "Make the account" }).click();
    await expect(page.getByRole("link", { name: "Admin" })).toBeVisible();
  });
});

test("an invitation's link makes an account, with a password or at a provider", async ({ page, farm, browser }) => {
  await signIn(page, farm.one);
  await page.goto(`${farm.one}/#/admin/invitations`);
  await page.getByLabel("Role").selectOption("viewer");
  await page.getByRole("button", { name: "Make an invitation" }).click();
  const link = await page.getByRole("group", { name: "The invitation's link." }).locator("pre").innerText();
  expect(link).toMatch(/^http:\/\/localhost:\d+\/#\/register\?invitation=jbi_\w+$/);
  await expectAccessible(page, "the invitations");

  const guest = await (await browser.newContext()).newPage();
  await guest.goto(link);
  await expect(guest.getByText("You were invited to this farm")).toBeVisible();
  await expect(guest.getByRole("link", { name: "Continue with Google" })).toHaveAttribute("href", /invitation=jbi_/);
  await guest.getByLabel("E-mail address").fill("eve@example.org");
  await guest.getByLabel("Password").fill("a good long one");
  await guest.getByRole("button", { name: "Make the account" }).click();
  await expect(guest.getByRole("heading", { name: "Jobs", level: 1 })).toBeVisible();
  await expect(guest.getByRole("link", { name: "Admin" })).toHaveCount(0);
  await guest.close();

  await page.goto(link);
  await expect(page.getByRole("heading", { name: "You are signed in already" })).toBeVisible();
  await expectAccessible(page, "an invitation, signed in");
  await page.getByRole("button", { name: "Sign out and use it" }).click();
  await page.getByRole("link", { name: "Continue with Discord" }).waitFor();
  await page.getByLabel("E-mail address").fill("late@example.org");
  await page.getByLabel("Password").fill("a good long one");
  await page.getByRole("button", { name: "Make the account" }).click();
  await expect(page.getByRole("alert")).toContainText("this invitation is not a good one");
});

test("a command line that nobody started here is refused", async ({ page, farm }) => {
  await signIn(page, farm.one);
  await page.goto(`${farm.one}/#/device?code=WDJB-MJHT`);
  await page.getByRole("button", { name: "This was not me" }).click();
  await expect(page.getByText("Nothing was approved")).toBeVisible();
  await page.reload();
  await page.getByRole("button", { name: "Approve" }).click();
  await expect(page.getByRole("alert")).toContainText("no command line waits with that code");
});

test("a command line is signed in only by the code it shows", async ({ page, farm }) => {
  await page.goto(`${farm.one}/#/device?code=WRONG-CODE`);
  await expect(page.getByText("Sign in first")).toBeVisible();
  await page.getByLabel("E-mail address").fill("ada@example.org");
  await page.getByLabel("Password").fill("render-me");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByLabel("Code")).toHaveValue("WRONG-CODE");
  await page.getByRole("button", { name: "Approve" }).click();
  await expect(page.getByRole("alert")).toContainText("no command line waits with that code");
  await page.getByLabel("Code").fill("wdjb-mjht");
  await expectAccessible(page, "the approval of a command line");
  await page.getByRole("button", { name: "Approve" }).click();
  await expect(page.getByText("The command line is signed in as ada@example.org")).toBeVisible();
});
