/**
 * Which process this is, among all that can see the same folder: a number alone means nothing in another container,
 * on another machine, or after the number was given to another process.
 */
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { systemErrorCode } from "../errors.js";

/** The PID namespace that a Linux system starts with (`PROC_PID_INIT_INO`): of a process in no container. */
const initialNamespace = (0xeffffffc).toString(36);

/** A process, as short words without "-"; on systems without /proc some are "0". */
export interface ProcessIdentity {
  readonly host: string;
  /** Of the installed system. */
  readonly machine: string;
  /** Of this start of the system. */
  readonly boot: string;
  /** Of the process numbers. */
  readonly namespace: string;
  /** When the process began, in ticks since the boot. */
  readonly started: string;
  readonly pid: number;
}

/** Identifies a process of this namespace, our own by default. */
export function identityOfProcess(pid: number = process.pid): ProcessIdentity {
  return {
    host: hostname()
      .replace(/[^A-Za-z0-9.]/g, "_")
      .slice(0, 24),
    machine: short(read("/etc/machine-id")),
    boot: short(read("/proc/sys/kernel/random/boot_id")),
    namespace: namespaceOfProcesses(),
    started: startOf(pid),
    pid,
  };
}

/** As a part of a file's name. */
export function formatIdentity({ host, machine, boot, namespace, started, pid }: ProcessIdentity): string {
  return [host, machine, boot, namespace, started, pid].join("-");
}

/** Reads what `formatIdentity` wrote; undefined if it is something else. */
export function parseIdentity(text: string): ProcessIdentity | undefined {
  const [host, machine, boot, namespace, started, pid, ...more] = text.split("-");
  if (host === undefined || machine === undefined || boot === undefined || namespace === undefined) {
    return undefined;
  }
  if (started === undefined || pid === undefined || !/^\d+$/.test(pid) || more.length > 0) {
    return undefined;
  }
  return { host, machine, boot, namespace, started, pid: Number(pid) };
}

/**
 * Whether another process has surely ended. It has if its number is free or another's now, which can be seen in our
 * own namespace alone, or if our machine, both of us being in no container, was started again since.
 */
export function hasEnded(other: ProcessIdentity, own: ProcessIdentity = identityOfProcess()): boolean {
  if (other.host !== own.host || other.machine !== own.machine) {
    return false;
  }
  if (other.boot !== own.boot) {
    return other.namespace === initialNamespace && own.namespace === initialNamespace;
  }
  return other.namespace === own.namespace && (!isAlive(other.pid) || startOf(other.pid) !== other.started);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === "EPERM";
  }
}

/** Field 22 of /proc/PID/stat; the name before it may hold spaces and brackets. */
function startOf(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  return ticks === undefined ? "0" : Number(ticks).toString(36);
}

function namespaceOfProcesses(): string {
  try {
    const [digits] = /\d+/.exec(readlinkSync("/proc/self/ns/pid")) ?? [];
    return Number(digits ?? 0).toString(36);
  } catch {
    return "0";
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

function short(text: string): string {
  return text === "" ? "0" : createHash("sha256").update(text).digest("hex").slice(0, 6);
}
