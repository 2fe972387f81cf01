/**
 * What Linux takes away from the engine's process, by bubblewrap if that is installed and may make namespaces: the
 * network, other processes, all files but the system's libraries, our code and what its jobs have named, and every
 * right to get more rights. Native code parses strangers' headers there.
 *
 * Whether it works is seen from the start of the process itself, so that trying costs nothing where it does.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { nodeFiles } from "../isolation/confinement.js";
import { codeFolder, packageFile, packageFolders } from "../isolation/own-code.js";
import type { FileView } from "./file-view.js";
import { acceleratedPackage } from "./library.js";

/** Where a confined process keeps what is too large for memory. */
const scratchFolder = "/run/lopsided";

/** What drivers of graphics processors read: libraries, lists of drivers, the system's facts. */
const driverFiles = [
  ...["/usr", "/opt", "/nix/store", "/run/opengl-driver", "/run/opengl-driver-32"],
  ...["/etc/OpenCL", "/etc/alternatives", "/etc/glvnd", "/etc/ld.so.conf", "/etc/ld.so.conf.d"],
  ...["/etc/nvidia", "/etc/vulkan"],
];

/** Devices of graphics processors, by how their names begin. */
const graphicsDevices = /^(nvidia|dri$|kfd$|dxg$)/;

/** Where drivers keep kernels that they have compiled, in the user's folder: without, each start compiles again. */
const kernelCaches = [".nv", ".cache/nvidia", ".cache/mesa_shader_cache", ".cache/mesa_shader_cache_db"];

/** A confined process before it is started. */
export interface Confinement {
  /** To be put before its command. */
  readonly words: readonly string[];
  /** Removes what was made for it, once it has ended. */
  readonly remove: () => void;
}

/** The confinement of a process that sees a view; undefined where there can be none. */
export function confinementFor(view: FileView): Confinement | undefined {
  if (process.platform !== "linux" || !view.isOpenToOwner) {
    return undefined;
  }
  const folder = process.cwd();
  const scratch = view.needsScratch ? mkdtempSync(join(tmpdir(), "lopsided-engine-")) : undefined;
  const code = [codeFolder, packageFile, ...packageFolders()].filter((path) => existsSync(path));
  const words = [
    ...["bwrap", "--die-with-parent", "--cap-drop", "ALL"],
    ...["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"],
    ...["--proc", "/proc", "--dev", "/dev", "--ro-bind-try", "/sys", "/sys", "--tmpfs", "/tmp"],
    ...(acceleratedPackage() === undefined ? [] : graphicsWords()),
    ...nodeFiles(),
    ...code.flatMap((path) => ["--ro-bind", path, path]),
    ...view.words,
    ...(scratch === undefined
      ? ["--setenv", "TMPDIR", "/tmp"]
      : ["--bind", scratch, scratchFolder, "--setenv", "TMPDIR", scratchFolder]),
    // Names of files may be relative.
    ...["--dir", folder, "--chdir", folder, "--remount-ro", "/", "--"],
  ];
  const remove = () => scratch !== undefined && rmSync(scratch, { recursive: true, force: true });
  return { words, remove };
}

function graphicsWords(): string[] {
  const devices = readdirSync("/dev").filter((name) => graphicsDevices.test(name));
  return [
    ...driverFiles.flatMap((path) => ["--ro-bind-try", path, path]),
    ...devices.flatMap((name) => ["--dev-bind-try", `/dev/${name}`, `/dev/${name}`]),
    ...kernelCaches.flatMap((path) => {
      const cache = join(homedir(), path);
      return ["--bind-try", cache, cache];
    }),
  ];
}

/**
 * The number under which this process finds the one that bubblewrap has started: it is the child of the first process
 * of its namespace, which is bubblewrap's child. Undefined if the system does not say.
 */
export function confinedProcessId(bubblewrapId: number): number | undefined {
  const childOf = (id: number) => {
    try {
      const [child] = readFileSync(`/proc/${id}/task/${id}/children`, "utf8").trim().split(" ");
      return child ? Number(child) : undefined;
    } catch {
      return undefined;
    }
  };
  const first = childOf(bubblewrapId);
  return first === undefined ? undefined : childOf(first);
}
