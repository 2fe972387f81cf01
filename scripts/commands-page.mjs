// Writes docs/commands.md from the commands' contracts: npm run -s build && node scripts/commands-page.mjs
import { writeFileSync } from "node:fs";
import { commandsPage } from "../dist/cli/commands-page.js";

writeFileSync(new URL("../docs/commands.md", import.meta.url), commandsPage());
