/** The coordinators that a worker finds in Redis, and why it can work for some of them and not for others. */
import { shownAddress } from "../bytes/address.js";
import type { CoordinatorPresence } from "../queue/presence.js";
import { version } from "../version.js";

/** What a worker is, as far as it decides what it can do. */
export interface WorkerKind {
  readonly token: string;
  /** What runs models here; undefined if nothing does. */
  readonly engine: string | undefined;
}

/** Why nothing is done for a coordinator, as a sentence; undefined if its jobs are taken. */
export function refusal(coordinator: CoordinatorPresence, { token, engine }: WorkerKind): string | undefined {
  const who = `the coordinator on ${coordinator.host} (${shownAddress(coordinator.url)})`;
  if (coordinator.token !== token) {
    return `${who} has another token: this worker gets nothing from it; give both the same \`token\`.`;
  }
  if (coordinator.version !== version) {
    return `${who} runs Lopsided ${coordinator.version} and this worker ${version}, whose results could differ; install the same version.`;
  }
  if (coordinator.engine !== undefined && coordinator.engine !== engine) {
    return `${who} runs models with ${coordinator.engine} and this worker with ${engine ?? "nothing"}, whose results could differ: it does not run models for it.`;
  }
  return undefined;
}
