/** Opens a sensitivity file on the disk. */
import { FileSource } from "../../bytes/source.js";
import type { Sensitivity } from "./defaults.js";
import { type MeasuredModel, readSensitivity } from "./file.js";

/** Errors: see `readSensitivity`; an EnvironmentError if it cannot be read. */
export async function openSensitivity(path: string, model: MeasuredModel): Promise<Sensitivity> {
  const file = await FileSource.open(path);
  try {
    return await readSensitivity(file, model);
  } finally {
    await file.close();
  }
}
