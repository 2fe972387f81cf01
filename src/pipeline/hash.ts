import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

/** SHA-256 of a local file in hexadecimal. Reads it in large pieces; memory stays constant. */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 4 << 20, signal })) hash.update(chunk);
  return hash.digest("hex");
}
