// Does the package work for somebody who installs it? Packs it, and for each version of Node.js installs the tarball
// in an empty folder, without a compiler, and runs `npx lopsided demo` there.
//
//   node scripts/try-package.mjs [20 22 24] [-- options of demo]
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const divider = process.argv.indexOf("--");
const wanted = process.argv.slice(2, divider < 0 ? undefined : divider);
const demoOptions = divider < 0 ? [] : process.argv.slice(divider + 1);
const versions = wanted.length > 0 ? wanted : ["20", "22", "24"];
const temporary = mkdtempSync(join(tmpdir(), "lopsided-package-"));
process.on("exit", () => rmSync(temporary, { recursive: true, force: true }));

function run(command, args, { cwd = root, env = {}, shows = false } = {}) {
  const result = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", shows ? "inherit" : "pipe"],
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (result.status !== 0) {
    throw new Error(`${command} ${args.join(" ")} failed:\n${result.stdout}${result.stderr ?? ""}`);
  }
  return result.stdout;
}

/** A folder as `npm init` leaves it. */
function emptyProject(name) {
  const folder = join(temporary, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{"private":true}');
  return folder;
}

/** Bytes of all files in a folder. */
function sizeOf(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

const [{ filename, size, unpackedSize, files }] = JSON.parse(
  run("npm", ["pack", "--json", "--silent", "--pack-destination", temporary]),
);
console.log(`${filename}: ${megabytes(size)}, unpacked ${megabytes(unpackedSize)}, ${files.length} files`);
const unwanted = files.filter(
  ({ path }) => /\.(map|tsx?)$|\.test\.|(^|\/)testing\//.test(path) && !path.endsWith(".d.ts"),
);
if (unwanted.length > 0) {
  throw new Error(`not needed: ${unwanted.map(({ path }) => path).join(", ")}`);
}

// Whoever calls a compiler gets an error.
const noCompiler = { CC: "false", CXX: "false", MAKE: "false" };
for (const version of versions) {
  const tools = emptyProject(`node-${version}`);
  run("npm", ["install", "--silent", `node@${version}`], { cwd: tools });
  const path = [join(tools, "node_modules", "node", "bin"), process.env.PATH].join(delimiter);
  const env = { ...noCompiler, PATH: path };
  const folder = emptyProject(`user-${version}`);
  run("npm", ["install", "--silent", "--omit=dev", join(temporary, filename)], { cwd: folder, env });
  const installed = sizeOf(join(folder, "node_modules"));
  const started = performance.now();
  const result = JSON.parse(
    run("npx", ["lopsided", "demo", "--json", ...demoOptions], { cwd: folder, env, shows: true }),
  );
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  const node = run("node", ["--version"], { cwd: folder, env }).trim();
  console.log(
    `Node.js ${node}: installed ${megabytes(installed)}; demo in ${seconds} s, ${result.quantize.sha256}, ${readdirSync(
      join(folder, "lopsided-demo"),
    )
      .filter((name) => !name.startsWith("."))
      .join(" ")}`,
  );
  rmSync(folder, { recursive: true });
}
