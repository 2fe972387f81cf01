/** The system's Chromium, for tests of what browsers show. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const places = [
  process.env.CHROMIUM_PATH,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/** Where it is, or undefined if there is none. */
export const browserPath = places.find((path) => path !== undefined && existsSync(path));

/** Starts it without a window. */
export function openBrowser(): Promise<Browser> {
  if (browserPath === undefined) {
    throw new Error("there is no Chromium; set CHROMIUM_PATH.");
  }
  return chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"] });
}
