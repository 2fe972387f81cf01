import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { EnvironmentError } from "../errors.js";
import {
  bindChecked,
  candidatePackages,
  checkVersion,
  findLibraryFile,
  findPackage,
  loadLibrary,
  packageVersion,
} from "./library.js";
import { bindFunctions, findLayoutMismatch, type NativeFunctions } from "./native.js";

const folder = mkdtempSync(join(tmpdir(), "lopsided-library-"));
after(() => rmSync(folder, { recursive: true }));

/** Installs an empty package in the temporary folder. */
function install(name: string, version: string, files: string[] = []): void {
  const root = join(folder, "node_modules", name);
  const bins = join(root, "bins", name.slice(name.indexOf("/") + 1));
  mkdirSync(bins, { recursive: true });
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(join(root, "dist", "index.js"), "");
  writeFileSync(
    join(root, "package.json"),
    JSON.stringify({ name, version, exports: { ".": "./dist/index.js" } }),
  );
  for (const file of files) {
    writeFileSync(join(bins, file), "");
  }
}

const resolve = createRequire(join(folder, "index.js")).resolve;

test("packages for graphics processors come before the plain one", () => {
  assert.deepEqual(candidatePackages("linux", "x64"), [
    "@node-llama-cpp/linux-x64-cuda",
    "@node-llama-cpp/linux-x64-metal",
    "@node-llama-cpp/linux-x64-vulkan",
    "@node-llama-cpp/linux-x64",
  ]);
  assert.equal(candidatePackages("darwin", "arm64").includes("@node-llama-cpp/mac-arm64-metal"), true);
  assert.equal(candidatePackages("win32", "x64").at(-1), "@node-llama-cpp/win-x64");
  assert.deepEqual(candidatePackages("aix", "ppc64"), []);
});

test("a missing library is reported with the command that installs it", () => {
  assert.throws(
    () => findPackage(resolve, ["@node-llama-cpp/none-a", "@node-llama-cpp/none-b"]),
    (error) =>
      error instanceof EnvironmentError &&
      error.message ===
        `llama.cpp's library is not installed: none of @node-llama-cpp/none-a, @node-llama-cpp/none-b was found. Run "npm install --include=optional" (${process.platform} ${process.arch}).`,
  );
  assert.throws(() => findPackage(resolve, []), /there is no build of llama.cpp for/);
});

test("a package of another version is refused, naming both versions", () => {
  install("@node-llama-cpp/old", "3.21.0");
  assert.throws(
    () => findPackage(resolve, ["@node-llama-cpp/old"]),
    (error) =>
      error instanceof EnvironmentError &&
      error.message ===
        `@node-llama-cpp/old 3.21.0 is installed, but this version of Lopsided works with ${packageVersion} (llama.cpp 0.5.0): run "npm install --save-exact @node-llama-cpp/old@${packageVersion}".`,
  );
});

test("the files of each platform and variant are found by their stem", () => {
  const name = "@node-llama-cpp/any";
  install(name, packageVersion, [
    "libggml-base.so",
    "libggml-cpu-zen4.so",
    "libggml.vulkan.v0.5.0.so",
    "libllama-common.so",
    "libllama.v0.5.0.so",
    "llama-addon.node",
  ]);
  const { folder: bins } = findPackage(resolve, ["@node-llama-cpp/none", name]);
  assert.equal(findLibraryFile(bins, "ggml-base"), join(bins, "libggml-base.so"));
  assert.equal(findLibraryFile(bins, "ggml"), join(bins, "libggml.vulkan.v0.5.0.so"));
  assert.equal(findLibraryFile(bins, "llama"), join(bins, "libllama.v0.5.0.so"));
  assert.throws(() => findLibraryFile(bins, "gone"), /has no library "gone"; the package is damaged/);
});

test("the installed library has the mirrored layouts, and a moved field is noticed", () => {
  const { native, version, devices } = loadLibrary();
  assert.match(version, /^0\.5\.0/);
  assert.equal(findLayoutMismatch(native), undefined);
  assert.equal(devices()[0]?.kind !== undefined, true);
  const moved: NativeFunctions = {
    ...native,
    llama_context_default_params: () => ({ ...native.llama_context_default_params(), type_k: 0 }),
  };
  assert.equal(findLayoutMismatch(moved), "the context parameters' default of type_k is 0 instead of 1");
  const grown: NativeFunctions = { ...native, ggml_tensor_overhead: () => 376 };
  assert.equal(findLayoutMismatch(grown), "a tensor structure has 344 bytes instead of 336");
});

test("a library that is another llama.cpp is refused, naming both versions", () => {
  const other: NativeFunctions = { ...loadLibrary().native, llama_version: () => "0.6.1" };
  assert.throws(
    () => checkVersion(other, "@node-llama-cpp/x"),
    (error) =>
      error instanceof EnvironmentError &&
      error.message ===
        `the llama.cpp library in @node-llama-cpp/x is not llama.cpp 0.5.0: it says it is version 0.6.1. Run "npm install --save-exact @node-llama-cpp/x@${packageVersion}".`,
  );
});

test("a library without one of the functions is refused", () => {
  const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
  const self = koffi.load(null);
  assert.throws(
    () =>
      bindChecked("@node-llama-cpp/x", () => bindFunctions(koffi, { base: self, ggml: self, llama: self })),
    (error) =>
      error instanceof EnvironmentError &&
      /^the llama\.cpp library in @node-llama-cpp\/x is not llama\.cpp 0\.5\.0: .*llama_version/.test(
        error.message,
      ),
  );
});
