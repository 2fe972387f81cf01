/** Trying things in the sandbox. */
import type { PythonSandbox } from "../sandbox/python.js";

/** What a function with this body returns there, or `{ error }` or `{ failure }`. */
export async function attempt(sandbox: PythonSandbox, body: string): Promise<unknown> {
  const lines = body.split("\n").map((line) => `    ${line}`);
  const { failure, returned } = await sandbox.run(`def attempt():\n${lines.join("\n")}`, [
    { function: "attempt", arguments: [] },
  ]);
  const [first] = returned;
  if (failure !== undefined || first === undefined) {
    return { failure };
  }
  return "value" in first ? first.value : first;
}
