/** Folders for tests, removed when the test is over. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new folder that `after` (`t.after` of a test, `after` of a suite) removes again. */
export async function temporaryFolder(after: (cleanUp: () => Promise<void>) => void): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lopsided-test-"));
  after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
