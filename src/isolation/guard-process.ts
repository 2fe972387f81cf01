/** Starting the process that guard.js runs in: its options, its environment, and what the system takes from it. */
import { type ChildProcess, spawn } from "node:child_process";
import { realpathSync } from "node:fs";
import { sep } from "node:path";
import { fileURLToPath } from "node:url";
import { confine } from "./confinement.js";
import { codeFolder, packageFile } from "./own-code.js";
import { killGroup, leadsGroup } from "./process-group.js";

export interface GuardProcessOptions {
  /** Folders of packages; all it may read besides our own code. */
  readonly readable: readonly string[];
  /** Bound of the JavaScript heap. */
  readonly heapMegabytes: number;
  /** Without the confinement of the system, as where there is none. */
  readonly unconfined?: boolean | undefined;
}

const guardFile = fileURLToPath(new URL("./guard.js", import.meta.url));

export async function startGuardProcess(options: GuardProcessOptions): Promise<ChildProcess> {
  const folders = readableFolders(options.readable);
  const words = options.unconfined ? [] : await confine([packageFile, ...folders]);
  const [command, ...args] = [
    ...words,
    process.execPath,
    `--max-old-space-size=${options.heapMegabytes}`,
    "--disallow-code-generation-from-strings",
    "--allow-worker",
    ...permissionFlags(options.readable),
    guardFile,
  ];
  const child = spawn(command ?? "", args, {
    ...leadsGroup,
    env: {},
    serialization: "advanced",
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  child.once("exit", () => killGroup(child));
  return child;
}

/**
 * Options of Node.js that leave our code and these folders to read, nothing to write and nothing to start, threads
 * included. A thread that is given them has these rights, whatever those of its process are.
 */
export function permissionFlags(readable: readonly string[]): string[] {
  return [permissionFlag(), ...readableFolders(readable).map((folder) => `--allow-fs-read=${folder}${sep}*`)];
}

function readableFolders(readable: readonly string[]): string[] {
  return [codeFolder, ...readable.map((folder) => realpathSync(folder))];
}

/** The permission model's switch: it lost its prefix in Node 22.13. */
function permissionFlag(): string {
  const { allowedNodeEnvironmentFlags } = process;
  return allowedNodeEnvironmentFlags.has("--permission") ? "--permission" : "--experimental-permission";
}
