// Screenshots of every page in both colour schemes, to look at: node tests/screens.mjs URL FOLDER
// Run it against `npm run mock`.

import { chromium } from "@playwright/test";

const [base, folder] = process.argv.slice(2);
const SIZES = { wide: { width: 1280, height: 860 }, phone: { width: 390, height: 844 } };
const PAGES = {
  jobs: async (page) => page.getByRole("list", { name: "Jobs" }).waitFor(),
  new: async (page) => page.getByRole("button", { name: "New job" }).click(),
  done: (page) => openJob(page, "bouncing disc"),
  failed: (page) => openJob(page, "kitchen"),
  many: (page) => openJob(page, "feature"),
  frame: async (page) => {
    await openJob(page, "bouncing disc");
    await page.getByRole("button", { name: /^Frame 5,/ }).click();
  },
  nodes: async (page) => {
    await page.keyboard.press("g");
    await page.keyboard.press("n");
    await page.getByRole("button", { name: "Make a ticket" }).click();
  },
  log: async (page) => {
    await openJob(page, "kitchen");
    await page.getByRole("link", { name: "Frame 7" }).click();
    await page.getByRole("button", { name: "Attempts and log" }).click();
  },
  share: async (page) => {
    await openJob(page, "bouncing disc");
    await page.getByRole("button", { name: "Share…" }).click();
    await page.getByLabel("Add somebody").fill("a");
  },
  account: (page) => page.getByRole("link", { name: "Account" }).click(),
  webhook: async (page) => {
    await page.getByRole("link", { name: "Account" }).click();
    await page.getByRole("button", { name: "New webhook" }).click();
  },
  ...Object.fromEntries(["users", "invitations", "runners", "tickets", "settings", "audit"].map((tab) => [
    tab,
    (page) => page.evaluate((hash) => (location.hash = hash), `#/admin/${tab}`),
  ])),
  keys: (page) => page.keyboard.press("?"),
};

const browser = await chromium.launch({
  executablePath: process.env.JIGGABLEND_E2E_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic"],
});
for (const colorScheme of ["light", "dark"]) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    const page = await browser.newPage({ colorScheme, viewport });
    page.on("console", (message) => message.type() === "error" && console.log("console:", message.text()));
    page.on("pageerror", (error) => console.log("page error:", error.message));
    await page.goto(base);
    await page.getByLabel("Password").waitFor();
    await page.screenshot({ path: `${folder}/${size}-${colorScheme}-signin.png` });
    await page.getByLabel("E-mail address").fill("ada@example.org");
    await page.getByLabel("Password").fill("render-me");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Jobs" }).waitFor();
    for (const [name, act] of Object.entries(PAGES)) {
      await page.goto(`${base}/#/jobs`);
      await page.reload();
      await page.getByRole("list", { name: "Jobs" }).waitFor();
      await act(page);
      await page.waitForTimeout(700);
      await page.screenshot({ path: `${folder}/${size}-${colorScheme}-${name}.png`, fullPage: true });
    }
    await page.close();
  }
}
await browser.close();

async function openJob(page, name) {
  await page.getByRole("link", { name }).first().click();
  await page.getByRole("list", { name: "Frames", exact: true }).waitFor();
}
