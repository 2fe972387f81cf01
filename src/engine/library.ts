/**
 * Finds and loads llama.cpp's shared library: the one in the npm package `@node-llama-cpp/<platform>`, which is
 * an optional dependency pinned to one exact version. Nothing is compiled, nothing is downloaded.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { EnvironmentError } from "../errors.js";
import { NativeLog } from "./log.js";
import { NativeMemory } from "./memory.js";
import {
  bindFunctions,
  findLayoutMismatch,
  type Koffi,
  mirroredVersion,
  type NativeFunctions,
  registerCallback,
} from "./native.js";
import { TensorSpace } from "./tensor.js";
import { ThreadTuners } from "./thread-tuner.js";
import { defaultThreads } from "./threads.js";

/** Version of the `@node-llama-cpp` packages that contains llama.cpp `MIRRORED_VERSION`. */
export const packageVersion = "3.22.1";

/** Stack of native calls, as large as a main thread's: llama.cpp's tokenizers use recursive regexes. */
const nativeStackBytes = 8 * 2 ** 20;

/** Builds for graphics processors, in the order of preference. Used when the user has installed one. */
const acceleratedSuffixes = ["-cuda", "-metal", "-vulkan"];

/** A processing device that the loaded backends offer. */
export interface Device {
  readonly name: string;
  readonly description: string;
  readonly kind: "cpu" | "gpu" | "integrated gpu" | "accelerator" | "other";
  readonly memoryBytes: number;
  readonly freeBytes: number;
}

/** The loaded library. There is one per thread. */
export interface NativeLibrary {
  readonly native: NativeFunctions;
  readonly ffi: Koffi;
  readonly memory: NativeMemory;
  readonly space: TensorSpace;
  readonly log: NativeLog;
  /** What is known of how many threads are fastest. */
  readonly threadTuners: ThreadTuners;
  /** npm package it comes from. */
  readonly packageName: string;
  /** llama.cpp's version. */
  readonly version: string;
  devices(): Device[];
  /** Whether there is a graphics processor. */
  hasGraphics(): boolean;
}

/** Names of the packages that may serve this platform, best first. */
export function candidatePackages(
  platform: string = process.platform,
  architecture: string = process.arch,
): string[] {
  const system = new Map([
    ["linux", "linux"],
    ["darwin", "mac"],
    ["win32", "win"],
  ]).get(platform);
  if (!system) {
    return [];
  }
  const base = `@node-llama-cpp/${system}-${architecture}`;
  return [...acceleratedSuffixes.map((variant) => base + variant), base];
}

/**
 * Folder with the shared libraries of the best installed package.
 * @param resolve finds a package's entry file, or throws: `require.resolve`
 */
export function findPackage(
  resolve: (specifier: string) => string,
  candidates: readonly string[] = candidatePackages(),
): { name: string; folder: string } {
  for (const name of candidates) {
    const root = packageRoot(name, resolve);
    if (!root) {
      continue;
    }
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    if (version !== packageVersion) {
      throw new EnvironmentError(
        `${name} ${version} is installed, but this version of Lopsided works with ${packageVersion} (llama.cpp ${mirroredVersion}): run "npm install --save-exact ${name}@${packageVersion}".`,
        { package: name, found: version, expected: packageVersion },
      );
    }
    return { name, folder: join(root, "bins", name.slice(name.indexOf("/") + 1)) };
  }
  const platform = `${process.platform} ${process.arch}`;
  if (candidates.length === 0) {
    throw new EnvironmentError(`there is no build of llama.cpp for ${platform}; models cannot be run here.`);
  }
  throw new EnvironmentError(
    `llama.cpp's library is not installed: none of ${candidates.join(", ")} was found. Run "npm install --include=optional" (${platform}).`,
    { platform },
  );
}

/** Folder of an installed package; these packages export only `.`, so package.json is looked for upwards. */
function packageRoot(name: string, resolve: (specifier: string) => string): string | undefined {
  let folder: string;
  try {
    folder = dirname(resolve(name));
  } catch {
    return undefined;
  }
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) {
      return undefined;
    }
    folder = parent;
  }
  return folder;
}

/** Name of the installed package for graphics processors, if it is one that would be used. */
export function acceleratedPackage(): string | undefined {
  const require = createRequire(import.meta.url);
  return candidatePackages()
    .filter((name) => acceleratedSuffixes.some((suffix) => name.endsWith(suffix)))
    .find((name) => packageRoot(name, (specifier) => require.resolve(specifier)) !== undefined);
}

/** Throws an EnvironmentError if the library is not installed, without loading it. */
export function checkInstalled(): void {
  const require = createRequire(import.meta.url);
  findPackage((specifier) => require.resolve(specifier));
}

/** Path of `libllama.v0.5.0.so`, `llama.dll`, `libggml.vulkan.v0.5.0.so`, ... in a folder. */
export function findLibraryFile(folder: string, stem: string): string {
  const pattern = new RegExp(`^(lib)?${stem}(\\.[a-z]+)?(\\.v[0-9.]+)?\\.(so|dylib|dll)$`);
  const file = existsSync(folder) ? readdirSync(folder).find((name) => pattern.test(name)) : undefined;
  if (!file) {
    throw new EnvironmentError(
      `${folder} has no library "${stem}"; the package is damaged. Reinstall it: npm install --include=optional.`,
      { folder },
    );
  }
  return join(folder, file);
}

const deviceKinds = ["cpu", "gpu", "integrated gpu", "accelerator"] as const;

function listDevices(native: NativeFunctions): Device[] {
  return Array.from({ length: native.ggml_backend_dev_count() }, (_, index) => {
    const device = native.ggml_backend_dev_get(index);
    const free: [number] = [0];
    const total: [number] = [0];
    native.ggml_backend_dev_memory(device, free, total);
    return {
      name: native.ggml_backend_dev_name(device),
      description: native.ggml_backend_dev_description(device),
      kind: deviceKinds[native.ggml_backend_dev_type(device)] ?? "other",
      memoryBytes: total[0],
      freeBytes: free[0],
    };
  });
}

/** Asks for kinds only: asking a graphics processor for its memory takes some of it. */
function anyGraphics(native: NativeFunctions): boolean {
  return Array.from(
    { length: native.ggml_backend_dev_count() },
    (_, index) => deviceKinds[native.ggml_backend_dev_type(native.ggml_backend_dev_get(index))],
  ).some((kind) => kind === "gpu" || kind === "integrated gpu");
}

let loaded: NativeLibrary | undefined;

/**
 * Loads llama.cpp, once per thread, and checks that it is the version this project mirrors.
 * Throws an EnvironmentError when the library is missing, damaged, or of another version.
 */
export function loadLibrary(): NativeLibrary {
  loaded ??= openLibrary(createRequire(import.meta.url));
  return loaded;
}

function openLibrary(require: NodeJS.Require): NativeLibrary {
  const { name: packageName, folder } = findPackage((specifier) => require.resolve(specifier));
  let ffi: Koffi;
  try {
    ffi = require("koffi") as Koffi;
  } catch (error) {
    throw new EnvironmentError(
      'the package "koffi", through which llama.cpp is called, is not installed. Run "npm install --include=optional".',
      {},
      { cause: error },
    );
  }
  enlargeStack(ffi);
  const open = (stem: string) => {
    const file = findLibraryFile(folder, stem);
    try {
      return ffi.load(file);
    } catch (error) {
      throw new EnvironmentError(
        `${file} cannot be loaded: ${error instanceof Error ? error.message : error}.`,
        { file },
        { cause: error },
      );
    }
  };
  // In the order of their dependencies, since not every platform looks beside the library for them.
  const base = open("ggml-base");
  const ggml = open("ggml");
  const llama = open("llama");
  const native = bindChecked(packageName, () => bindFunctions(ffi, { base, ggml, llama }));
  const version = checkVersion(native, packageName);

  const log = new NativeLog();
  native.llama_log_set(registerCallback(ffi, "log", (level, text) => log.write(level, text)).address, 0);
  native.ggml_backend_load_all_from_path(folder);
  native.llama_backend_init();
  const memory = new NativeMemory(ffi);
  const space = new TensorSpace(native, memory);
  const threadTuners = new ThreadTuners(defaultThreads());
  const devices = () => listDevices(native);
  const hasGraphics = () => anyGraphics(native);
  return { native, ffi, memory, space, log, threadTuners, packageName, version, devices, hasGraphics };
}

function enlargeStack(ffi: Koffi): void {
  try {
    ffi.config({ sync_stack_size: nativeStackBytes });
  } catch {
    // Some other library of this thread was loaded through koffi before; then its 2 MiB must do.
  }
}

/** Binds the functions; a missing one means another version. */
export function bindChecked(packageName: string, bind: () => NativeFunctions): NativeFunctions {
  try {
    return bind();
  } catch (error) {
    throw wrongLibrary(packageName, error instanceof Error ? error.message : String(error), "unknown");
  }
}

/** A library with other structures would read garbage or crash, so it is refused before the first real call. */
export function checkVersion(native: NativeFunctions, packageName: string): string {
  const version = native.llama_version();
  const mismatch =
    version.split("-")[0] === mirroredVersion
      ? findLayoutMismatch(native)
      : `it says it is version ${version}`;
  if (mismatch) {
    throw wrongLibrary(packageName, mismatch, version);
  }
  return version;
}

function wrongLibrary(packageName: string, mismatch: string, version: string): EnvironmentError {
  return new EnvironmentError(
    `the llama.cpp library in ${packageName} is not llama.cpp ${mirroredVersion}: ${mismatch}. Run "npm install --save-exact ${packageName}@${packageVersion}".`,
    { package: packageName, found: version, expected: mirroredVersion },
  );
}
