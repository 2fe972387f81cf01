/** The coordinators that a worker finds in Redis, and why it can work for some of them and not for others. */
import { shownAddress } from "../bytes/address.js";
import type { CoordinatorPresence } from "../queue/presence.js";
import { version } from "../version.js";

/**
 * Why nothing at all is done for a coordinator by workers that have the token of this name, as a sentence; undefined if
 * its jobs are taken. Whether its models can be run is another question (`ChunkTasks`).
 */
export function refusal(coordinator: CoordinatorPresence, token: string): string | undefined {
  const who = `the coordinator on ${coordinator.host} (${shownAddress(coordinator.url)})`;
  if (coordinator.token !== token) {
    return `${who} has another token: this worker gets nothing from it; give both the same \`token\`.`;
  }
  if (coordinator.version !== version) {
    return `${who} runs Lopsided ${coordinator.version} and this worker ${version}, whose results could differ; install the same version.`;
  }
  return undefined;
}
