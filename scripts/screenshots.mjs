// Makes the pictures of the documentation: the chat page on the tiny model, on a phone (dark) and on a desk (light).
//   npm run build && node scripts/screenshots.mjs [FOLDER]
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openBrowser } from "../dist/testing/browser.js";
import { serveTinyModel } from "../dist/testing/serve.js";

const folder = process.argv[2] ?? fileURLToPath(new URL("../docs", import.meta.url));
const server = await serveTinyModel();
const browser = await openBrowser();

async function picture(name, options) {
  const context = await browser.newContext({ deviceScaleFactor: 2, ...options });
  const page = await context.newPage();
  await page.route("**/v1/chat/completions", (route) =>
    route.continue({ postData: JSON.stringify({ ...route.request().postDataJSON(), temperature: 0 }) }),
  );
  await page.goto(server.url);
  for (const [index, question] of [
    "Merge the overlapping intervals [[1, 4], [3, 9], [12, 15]].",
    "Write a Python function that merges overlapping intervals.",
  ].entries()) {
    await page.getByLabel("Your message").fill(question);
    await page.keyboard.press("Enter");
    await page
      .getByText(/tokens\/s/)
      .nth(index)
      .waitFor();
  }
  await page.screenshot({ path: join(folder, name) });
  await context.close();
}

await picture("chat.png", { viewport: { width: 900, height: 640 }, colorScheme: "light" });
await picture("chat-phone.png", {
  viewport: { width: 390, height: 760 },
  hasTouch: true,
  colorScheme: "dark",
});
await browser.close();
await server.stop();
