// Writes docs/commands.md from the commands' contracts, as they are built in dist/.
import { writeFileSync } from "node:fs";
import { renderCommandsPage } from "../dist/cli/commands-page.js";

writeFileSync(new URL("../docs/commands.md", import.meta.url), renderCommandsPage());
