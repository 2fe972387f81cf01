// Installs the dependencies if they are not those of package-lock.json, so that every npm script works from a
// fresh clone.
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("..", import.meta.url);
const installed = new URL("node_modules/.package-lock.json", root);

/** Versions by path of what a lock file wants here; packages for other platforms are optional and may be absent. */
function versions(url) {
  const { packages } = JSON.parse(readFileSync(url, "utf8"));
  return new Map(Object.entries(packages).filter(([path, entry]) => path !== "" && !entry.link));
}

function upToDate() {
  if (!existsSync(installed)) {
    return false;
  }
  const have = versions(installed);
  for (const [path, wanted] of versions(new URL("package-lock.json", root))) {
    if (have.get(path)?.version !== wanted.version && !wanted.optional) {
      return false;
    }
  }
  return true;
}

if (!upToDate()) {
  if (
    existsSync(new URL("node_modules", root)) &&
    lstatSync(fileURLToPath(new URL("node_modules", root))).isSymbolicLink()
  ) {
    console.error("node_modules is a link and out of date; run npm install where it points to.");
    process.exit(1);
  }
  // Not `npm ci`: it refuses a lock file without the optional packages of other platforms, which some registry
  // mirrors lack. `npm install` takes the locked versions as well.
  console.error("installing dependencies (npm install) ...");
  const { status } = spawnSync(
    "npm",
    ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"],
    {
      cwd: root,
      stdio: ["ignore", 2, 2],
      shell: process.platform === "win32",
    },
  );
  process.exit(status ?? 1);
}
