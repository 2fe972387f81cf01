/** Runs the command line as a user does: in a process of its own, from the compiled files. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../cli/main.js", import.meta.url));

export interface CommandOutcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A signal to send as soon as something is so. */
export interface Interruption {
  readonly signal: "SIGINT" | "SIGTERM" | "SIGKILL";
  readonly when: () => boolean;
}

/** Runs `lopsided` with these arguments to its end. */
export function lopsided(args: readonly string[], interruption?: Interruption): Promise<CommandOutcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    const watch = setInterval(() => {
      if (!interruption?.when()) {
        return;
      }
      clearInterval(watch); // a second Ctrl-C would mean something else
      child.kill(interruption.signal);
    }, 10);
    child.on("error", reject);
    child.on("close", (status) => {
      clearInterval(watch);
      resolve({ status, stdout, stderr });
    });
  });
}

/** Starts `lopsided` with these arguments, to be talked to. */
export function startLopsided(args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [main, ...args], { stdio: "pipe" });
}

/** Path of a file of fixtures/. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));
}
