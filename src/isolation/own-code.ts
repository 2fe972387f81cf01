/** Where this program's own code lies: what a process of ours needs to read before anything else. */
import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Our own compiled code. */
export const codeFolder = realpathSync(fileURLToPath(new URL("..", import.meta.url)));

/** Says that it consists of modules. */
export const packageFile = join(dirname(codeFolder), "package.json");

/** The folders of packages in which Node.js looks for what our code imports, nearest first. */
export function packageFolders(): string[] {
  const found: string[] = [];
  for (let folder = dirname(codeFolder); ; folder = dirname(folder)) {
    const packages = join(folder, "node_modules");
    if (existsSync(packages)) {
      found.push(packages);
    }
    if (dirname(folder) === folder) {
      return found;
    }
  }
}
