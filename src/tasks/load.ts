/** Finding a file of tasks, or the set that ships with the package. */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeUtf8 } from "../bytes/json.js";
import { FileSource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import { checkText } from "../text/text.js";
import { parseTasks, type Task } from "./task.js";

/** Tasks for models of any size: coding, arithmetic, word problems. */
export const shippedTasks = fileURLToPath(new URL("../../tasks/general.jsonl", import.meta.url));

const maxBytes = 67_108_864;

export interface TaskSet {
  /** File name. */
  readonly name: string;
  readonly sha256: string;
  readonly tasks: readonly Task[];
}

/**
 * Reads a file of tasks; without one, those that ship.
 * Throws an EnvironmentError if it cannot be read; a MalformedInputError if a line is no task.
 */
export async function loadTasks(path: string = shippedTasks): Promise<TaskSet> {
  await checkText(path);
  const source = await FileSource.open(path);
  try {
    if (source.byteLength > maxBytes) {
      throw new MalformedInputError(
        `${path}: has ${source.byteLength} bytes, more than the ${maxBytes} that a file of tasks can sensibly have; check that it is the right file.`,
        { file: path },
      );
    }
    const bytes = await source.read(0, source.byteLength);
    return {
      name: basename(path),
      sha256: createHash("sha256").update(bytes).digest("hex"),
      tasks: parseTasks(decodeUtf8(bytes, path), path),
    };
  } finally {
    await source.close();
  }
}
