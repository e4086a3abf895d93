// One browser, one worker, against a farm that already runs: BASE_URL is any node's web address.

import { defineConfig } from "@playwright/test";
import { CHROMIUM } from "./browser.ts";

export default defineConfig({
  testDir: ".",
  // The flows against a farm that pretends have a configuration of their own: mock/.
  testMatch: "farm.spec.ts",
  outputDir: "../test-results",
  // A real render in the middle; the test itself waits for conditions, each with its deadline.
  timeout: 10 * 60_000,
  workers: 1,
  retries: 0,
  forbidOnly: true,
  reporter: [["list"]],
  use: {
    baseURL: process.env.BASE_URL,
    launchOptions: CHROMIUM,
    trace: "retain-on-failure",
    actionTimeout: 20_000,
  },
});
