/** Folders for tests. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new folder that is removed when the test `t` is over. */
export async function temporaryFolder(t: { after(cleanUp: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lopsided-test-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
