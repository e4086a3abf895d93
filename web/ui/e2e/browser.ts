// How Chromium is started, in tests and for screenshots.

export const CHROMIUM = {
  executablePath: process.env.JIGGABLEND_E2E_CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
};
