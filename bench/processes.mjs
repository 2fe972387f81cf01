// Processes that a command has started: some are the children of bubblewrap, which is its child. Linux only.
import { readdirSync, readFileSync } from "node:fs";

/** Numbers of the processes that a process has started. */
export function childrenOf(pid) {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
}

/** These, and those that they have started. */
export function descendantsOf(pid) {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** The one among them in which llama.cpp has a file with this name mapped. */
export function modelProcessOf(pid, name) {
  return descendantsOf(pid).find((child) => readFileSync(`/proc/${child}/maps`, "utf8").includes(name));
}
