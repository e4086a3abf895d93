// A pretended farm for each test, and a page that must not complain.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test as base, type Page } from "@playwright/test";

const SERVER = fileURLToPath(new URL("../../tests/mock/server.mjs", import.meta.url));

export interface MockFarm {
  /** Two nodes of one farm. */
  one: string;
  two: string;
  /** Does something to the farm: `cut?ms=3000`. */
  make(what: string): Promise<unknown>;
}

export const test = base.extend<{ settings: Record<string, string>; farm: MockFarm; heard: string[] }>({
  /** The mock's environment: see tests/mock/server.mjs. */
  settings: [{}, { option: true }],

  farm: async ({ settings }, use) => {
    const server = spawn(process.execPath, [SERVER], {
      env: { PATH: process.env.PATH, PORT: "0", ...settings }, stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface(server.stdout)[Symbol.asyncIterator]();
    const one = String((await lines.next()).value);
    const two = String((await lines.next()).value);
    await use({ one, two, make: async (what) => (await fetch(`${one}/mock/${what}`)).json() });
    server.kill();
    await once(server, "exit");
  },

  /** What the browser complains of: broken scripts, and what the security policy had to block. */
  heard: [async ({ page }, use) => {
    const heard: string[] = [];
    page.on("pageerror", (error) => heard.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) heard.push(message.text());
    });
    await use(heard);
    expect(heard).toEqual([]);
  }, { auto: true }],
});

export { expect };

export async function signIn(page: Page, origin: string, email = "ada@example.org", password = "render-me"): Promise<void> {
  await page.goto(origin);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("banner")).toBeVisible();
}

/** A file that begins as Blender's do, of any size; every byte depends on its place. */
export function scene(bytes: number): Buffer {
  const made = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 4096) made.writeUInt32LE(at, at);
  made.write("BLENDER-v405");
  return made;
}
