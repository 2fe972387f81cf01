// Writes npm-shrinkwrap.json, which pins what users get, from package-lock.json: what the package needs, without the
// tools of development. Run by `npm pack` and `npm publish` before (and with --remove after) they pack.
import { readFileSync, rmSync, writeFileSync } from "node:fs";

const at = (name) => new URL(`../${name}`, import.meta.url);
const shrinkwrap = at("npm-shrinkwrap.json");

/** `os` of a package for one platform, from its name: registries may lack packages of other platforms. */
const systems = { linux: "linux", mac: "darwin", win: "win32" };

/** An entry for an optional package that the lock file lacks, so that npm looks for it where it is needed. */
function entryFor(name, version) {
  const [, system, processor] = /\/(linux|mac|win)-(\w+)/.exec(name) ?? [];
  if (system === undefined) {
    throw new Error(`package-lock.json lacks ${name}; run npm install.`);
  }
  return { version, optional: true, os: [systems[system]], cpu: [processor] };
}

if (process.argv.includes("--remove")) {
  rmSync(shrinkwrap, { force: true });
} else {
  const lock = JSON.parse(readFileSync(at("package-lock.json"), "utf8"));
  const packages = Object.fromEntries(Object.entries(lock.packages).filter(([, { dev }]) => !dev));
  const { devDependencies, ...own } = packages[""];
  packages[""] = own;
  for (const [name, version] of Object.entries(own.optionalDependencies)) {
    packages[`node_modules/${name}`] ??= entryFor(name, version);
  }
  writeFileSync(shrinkwrap, `${JSON.stringify({ ...lock, packages }, undefined, 2)}\n`);
}
