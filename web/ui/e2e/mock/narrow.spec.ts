// On a narrow screen no page is wider than the screen.

import { expect, signIn, test } from "./farm.ts";

test.use({ viewport: { width: 360, height: 740 } });

test("no page scrolls sideways on a phone", async ({ page, farm }) => {
  await signIn(page, farm.one);
  const pages = ["jobs", "nodes", "account", "admin/users", "admin/invitations", "admin/runners", "admin/tickets", "admin/settings", "admin/audit", "device?code=AB"];
  for (const at of pages) {
    await page.goto(`${farm.one}/#/${at}`);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await expect(page.getByText(/^Reading /)).toHaveCount(0);
    await expect.poll(() => page.evaluate(() => document.documentElement.scrollWidth), at).toBeLessThanOrEqual(360);
  }
  await page.goto(`${farm.one}/#/jobs`);
  await page.getByRole("link", { name: /kitchen/ }).click();
  await page.getByRole("link", { name: "Frame 7" }).click();
  await page.getByRole("button", { name: "Attempts and log" }).click();
  await expect(page.getByRole("log")).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
});
