/**
 * Ending a process with all that it has started. A process that bubblewrap started ends with it, but for a moment at
 * the beginning, in which it would stay behind and hold its pipes open; so it is made the leader of a group.
 */
import type { ChildProcess } from "node:child_process";

/** For `spawn`: the process leads a group. */
export const leadsGroup = { detached: process.platform !== "win32" } as const;

/** Kills a process that leads a group, and all of the group. */
export function killGroup(child: ChildProcess): void {
  if (!leadsGroup.detached) {
    child.kill("SIGKILL");
    return;
  }
  try {
    process.kill(-(child.pid ?? NaN), "SIGKILL");
  } catch {
    // It could not be started, or all of it has ended.
  }
}
