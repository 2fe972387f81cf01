/** Workers of a queue for tests, each in a process of its own. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { startLopsided } from "./command.js";

export interface TestWorker {
  readonly child: ChildProcess;
  /** What it has said so far. */
  readonly said: { text: string };
}

/** Starts a worker of one thread with these arguments; resolves when it is there. It is killed at the end of the test. */
export async function startWorker(
  t: { after(cleanUp: () => Promise<void>): void },
  args: readonly string[],
): Promise<TestWorker> {
  const child = startLopsided(["worker", "--threads", "1", ...args]);
  t.after(async () => {
    child.kill("SIGKILL");
    await (child.exitCode ?? child.signalCode ?? once(child, "exit"));
  });
  const said = { text: "" };
  child.stderr.on("data", (text: Buffer) => {
    said.text += text;
  });
  await once(child.stdout, "data");
  return { child, said };
}
