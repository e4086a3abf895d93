// Every flow of the page, against a farm that pretends: each test starts its own.

import { defineConfig } from "@playwright/test";
import { CHROMIUM } from "../browser.ts";

export default defineConfig({
  testDir: ".",
  outputDir: "../../test-results",
  timeout: 90_000,
  workers: 1,
  retries: 0,
  forbidOnly: true,
  reporter: [["list"]],
  expect: { timeout: 10_000 },
  use: { launchOptions: CHROMIUM, trace: "retain-on-failure", actionTimeout: 10_000 },
});
