// What does somebody get who installs the package? Packs it, installs it in an empty folder, and writes the size, the
// packages with their licences, and those with install scripts into docs/installing.md.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { markdownTable } from "../bench/tables/markers.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = join(root, "docs", "installing.md");
const temporary = mkdtempSync(join(tmpdir(), "lopsided-facts-"));
process.on("exit", () => rmSync(temporary, { recursive: true, force: true }));

function npm(args, cwd) {
  const { status, stdout, stderr } = spawnSync("npm", args, {
    cwd,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (status !== 0) {
    throw new Error(`npm ${args.join(" ")} failed:\n${stdout}${stderr}`);
  }
  return stdout;
}

/** Bytes of all files in a folder, without those in `node_modules` below it. */
function sizeOf(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => name !== "node_modules")
    .reduce((sum, entry) => {
      const path = join(folder, entry.name);
      return sum + (entry.isDirectory() ? sizeOf(path) : lstatSync(path).size);
    }, 0);
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e5 ? 2 : 1)} MB`;

const [{ filename, size, unpackedSize }] = JSON.parse(
  npm(["pack", "--json", "--silent", "--pack-destination", temporary], root),
);
const folder = join(temporary, "user");
mkdirSync(folder);
writeFileSync(join(folder, "package.json"), '{"private":true}');
npm(["install", "--silent", join(temporary, filename)], folder);

const { packages } = JSON.parse(readFileSync(join(folder, "node_modules", ".package-lock.json"), "utf8"));
const installed = Object.entries(packages)
  .map(([path, entry]) => ({ path, ...entry, manifest: join(folder, path, "package.json") }))
  .filter(({ manifest }) => existsSync(manifest))
  .map(({ path, manifest, hasInstallScript }) => {
    const { name, version, license, scripts = {} } = JSON.parse(readFileSync(manifest, "utf8"));
    return { name, version, license, hasInstallScript, scripts, bytes: sizeOf(join(folder, path)) };
  })
  .sort((a, b) => b.bytes - a.bytes);
const total = installed.reduce((sum, { bytes }) => sum + bytes, 0);
const licences = [...new Set(installed.map(({ license }) => license ?? "none stated"))].sort();
const scripted = installed.filter(({ hasInstallScript }) => hasInstallScript);

const facts = [
  `On ${process.platform}-${process.arch}, ${new Date().toISOString().slice(0, 10)}: **${megabytes(total)}** in **${installed.length} packages**, Lopsided included (the package itself: ${megabytes(size)} to download, ${megabytes(unpackedSize)} unpacked).`,
  `Licences: ${licences.map((license) => `${license} (${installed.filter((each) => (each.license ?? "none stated") === license).length})`).join(", ")}.`,
  `Install scripts: ${
    scripted
      .map(({ name, scripts }) => {
        const runs = ["preinstall", "install", "postinstall"].filter((hook) => hook in scripts);
        return `${name} (${runs.map((hook) => `\`${scripts[hook]}\``).join(", ")})`;
      })
      .join("; ") || "none"
  }. Lopsided has none.`,
  markdownTable(
    ["package", "version", "licence", "installed"],
    installed.map(({ name, version, license, bytes }) => [
      name,
      version,
      license ?? "none stated",
      megabytes(bytes),
    ]),
    [3],
  ),
];
const text = readFileSync(page, "utf8");
writeFileSync(
  page,
  text.replace(
    /(<!-- facts -->\n).*?(<!-- \/facts -->)/s,
    (_, begin, end) => `${begin}\n${facts.join("\n\n")}\n\n${end}`,
  ),
);
console.log(facts.slice(0, 3).join("\n"));
