// Compiles src/ to dist/: TypeScript with tsc, the SIMD kernels from AssemblyScript with asc, the explorer's page with esbuild.
//   --clean      from nothing
//   --if-stale   only if a source is newer than the last build
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stamp = join(root, "dist", ".built");

function isStale() {
  const built = statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = readdirSync(join(root, "src"), { recursive: true }).map((file) => join("src", file));
  const inputs = [...sources, "scripts/build.mjs", "tsconfig.json", "package-lock.json"];
  return inputs.some((file) => statSync(join(root, file)).mtimeMs > built);
}

function run(command, ...args) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (result.status !== 0) {
    process.exit(result.status ?? 1);
  }
}

/** What a source that is gone or renamed left in dist/: its tests would run on. */
function removeOrphans() {
  if (!existsSync(join(root, "dist"))) {
    return;
  }
  for (const file of readdirSync(join(root, "dist"), { recursive: true })) {
    const source = file.replace(/\.(d\.ts|js|js\.map)$/, ".ts");
    if (source !== file && !existsSync(join(root, "src", source))) {
      rmSync(join(root, "dist", file));
    }
  }
}

/** Of all that the kernels are made of. */
function hashOfAssembly() {
  const hash = createHash("sha256").update(options.join(" "));
  hash.update(readFileSync(join(root, "node_modules/assemblyscript/package.json")));
  for (const file of readdirSync(join(root, "src"), { recursive: true }).sort()) {
    if (/\bassembly[\\/].*\.ts$/.test(file)) {
      hash.update(file).update(readFileSync(join(root, "src", file)));
    }
  }
  return hash.digest("hex").slice(0, 32);
}

/** Compiles a kernel, which takes its time, unless that was done before with the same sources and compiler. */
function compileKernel(source, module, hash) {
  const cached = join(root, "node_modules/.cache/lopsided", `${hash}-${basename(module)}`);
  mkdirSync(new URL(`../dist/${module}/..`, import.meta.url), { recursive: true });
  if (!existsSync(cached)) {
    run("npx", "--no-install", "asc", `src/${source}`, "-o", `dist/${module}`, ...options);
    mkdirSync(dirname(cached), { recursive: true });
    copyFileSync(join(root, "dist", module), `${cached}.${process.pid}`);
    renameSync(`${cached}.${process.pid}`, cached);
  }
  copyFileSync(cached, join(root, "dist", module));
}

// stub: nothing is allocated; abort: no imports, kernels never trap on purpose.
const options = "-O3 --enable simd --runtime stub --noAssert --use abort=".split(" ");

if (process.argv.includes("--if-stale") && !isStale()) {
  process.exit(0);
}
rmSync(stamp, { force: true });
if (process.argv.includes("--clean")) {
  rmSync(new URL("../dist", import.meta.url), { recursive: true, force: true });
}
removeOrphans();
run("npx", "--no-install", "tsc", "-p", ".");
run("npx", "--no-install", "tsc", "-p", "src/explore/page");
run(process.execPath, "scripts/bundle-page.mjs");

const hash = hashOfAssembly();
for (const [source, module] of [
  ["quants/kernels/assembly/index.ts", "quants/kernels/kernels.wasm"],
  ["quants/output-aware/assembly/index.ts", "quants/output-aware/output-aware.wasm"],
  ["reduce/assembly/index.ts", "reduce/reduce.wasm"],
]) {
  compileKernel(source, module, hash);
}
// What the compilers leave where it is.
cpSync(join(root, "src/serve/page"), join(root, "dist/serve/page"), { recursive: true });
writeFileSync(stamp, "");
