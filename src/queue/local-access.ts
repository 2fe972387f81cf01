/** How a coordinator's own threads get the data of its jobs, without the network; those of others over it. */
import type { Coordinator } from "./coordinator.js";
import { type DataAccess, NotWanted } from "./data-access.js";
import { type DataReference, type QueueJob, runOf } from "./jobs.js";
import type { ResultOutcome } from "./requests.js";

export class LocalAccess implements DataAccess {
  readonly #coordinator: Coordinator;
  readonly #others: DataAccess;
  readonly #worker: string;

  constructor(coordinator: Coordinator, others: DataAccess, worker: string) {
    this.#coordinator = coordinator;
    this.#others = others;
    this.#worker = worker;
  }

  async fetch(job: QueueJob, reference: DataReference): Promise<Uint8Array> {
    if (!this.#isOwn(job)) {
      return await this.#others.fetch(job, reference);
    }
    const bytes = await this.#coordinator.data(reference.sha256);
    if (bytes === undefined) {
      throw new NotWanted();
    }
    // The coordinator keeps its own: another machine may want it.
    return bytes.slice();
  }

  async deliver(job: QueueJob, outcome: ResultOutcome, body: Uint8Array): Promise<void> {
    if (!this.#isOwn(job)) {
      await this.#others.deliver(job, outcome, body);
      return;
    }
    this.#coordinator.deliver({ id: job.id, outcome, body, worker: this.#worker });
  }

  #isOwn({ id }: QueueJob): boolean {
    return runOf(id) === this.#coordinator.run;
  }
}
